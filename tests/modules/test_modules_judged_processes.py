"""Two processes learn from own samples what one learns: labels, cuts and rivals do not depend on who holds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from alignlab.plugins.dpo.config import DPOConfig
from alignlab.plugins.nash_md.config import NashMDConfig
from alignlab.plugins.nash_md.module import NashMDModule
from alignlab.plugins.online.config import OwnPairsConfig
from alignlab.plugins.online.module import OnlineModule
from alignlab.plugins.raft.config import RAFTConfig
from alignlab.plugins.raft.module import RAFTModule
from alignlab.plugins.xpo.config import XPOConfig
from alignlab.plugins.xpo.module import XPOModule
from doubles import Replay
from grouped import grouped, made, prompts_of, rivalled
from small import gpt2
from test_modules_processes import Made, array, data, run

from alignlab.data.module import PreferenceData
from alignlab.data.schema import Prompt
from alignlab.data.tokens import PromptTokens
from alignlab.method import Data
from alignlab.models.policy import Policy
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.sampling import Sampling

PROMPTS, SIZE = 7, 3  # odd: one process gets 4 prompts, the other 3
BASE: dict[str, Any] = dict(max_grad_norm=0.0, lr=1e-3, warmup=0.0, minibatches=2)
MORE: dict[str, Any] = dict(micro=2, total=3, policy=None)


def rows_of(rollout: Rollouts, size: int) -> PreferenceData:
    given = prompts_of(rollout, size).prompts
    rows = [
        PromptTokens(row=i, prompt=array(p), source=Prompt(str(i), text="?"), truncated=False)
        for i, p in enumerate(given)
    ]
    return data(Data.PROMPTS, rows)


def online() -> Made:
    rollout = grouped(Policy(gpt2()), PROMPTS, SIZE)
    config = OwnPairsConfig(**BASE | dict(batch_size=24, group_size=SIZE, labels="sampled"))
    return made(OnlineModule, config, rollout, objective=("dpo", DPOConfig()), **MORE), rows_of(rollout, SIZE)


def raft() -> Made:
    rollout = grouped(Policy(gpt2()), PROMPTS, SIZE)
    config = RAFTConfig(**BASE | dict(batch_size=24, group_size=SIZE, keep="quantile", quantile=0.6))
    return made(RAFTModule, config, rollout, reference=None, **MORE), rows_of(rollout, SIZE)


def xpo() -> Made:
    own, other = rivalled(Policy(gpt2()), PROMPTS)
    config, engine = XPOConfig(**BASE | dict(batch_size=8, alpha=0.1)), Replay(other)
    objective = ("dpo", DPOConfig())
    module = made(XPOModule, config, own, objective=objective, new_engine=lambda model, temperature: engine, **MORE)
    return module, rows_of(own, 1)


def nash() -> Made:
    own, other = rivalled(Policy(gpt2()), PROMPTS)
    more = MORE | {"policy": Policy(gpt2())}
    engine = Replay(own, policy=more["policy"])
    engine.sampling = Sampling()  # type: ignore[attr-defined]
    module = made(NashMDModule, NashMDConfig(**BASE | dict(batch_size=8, minibatches=1)), engine=engine, **more)
    module.opponent = Replay(other)
    return module, rows_of(own, 1)


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")
@pytest.mark.parametrize("make", [online, raft, xpo, nash])
def test_two_processes_learn_what_one_learns(make: Callable[[], Made], tmp_path: Path) -> None:
    run(make(), tmp_path, devices=1)
    run(make(), tmp_path, devices=2, strategy="ddp_fork")
    one, first, second = (torch.load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1"))
    for name, value in first["weights"].items():
        assert torch.equal(second["weights"][name], value), f"{name} differs between the two processes"
    for name, gradient in one["gradients"].items():
        torch.testing.assert_close(first["gradients"][name], gradient, rtol=0, atol=1e-8, msg=name)
    for row, other in zip(one["rows"], first["rows"], strict=True):
        apart = {"train/engine_gap"}  # a maximum over the rows of the process that logs
        assert {k: v for k, v in other.items() if k not in apart} == pytest.approx(
            {k: v for k, v in row.items() if k not in apart}, abs=1e-6
        )
