"""Two processes on one machine, joined by gloo, learn what one process learns."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from alignlab.plugins.dpo.config import DPOConfig
from alignlab.plugins.reward_model.config import RewardModelConfig
from alignlab.plugins.reward_model.module import RewardModule
from alignlab.plugins.sft.config import SFTConfig
from alignlab.plugins.sft.module import SFTModule
from doubles import learner, rollouts
from lightning.pytorch.callbacks import Callback
from small import Rows, gpt2, gradients, pair_module, parts, scorer, texts, weights

from alignlab.config import TrainerConfig
from alignlab.data.batch import pad
from alignlab.data.module import PreferenceData
from alignlab.data.schema import Prompt
from alignlab.data.tokens import DemonstrationTokens, PairTokens, PromptTokens
from alignlab.errors import ConfigError
from alignlab.method import Data
from alignlab.models.policy import Policy
from alignlab.seeding import Seeds

KL_TARGET = 0.01  # close to the KL of the second iteration, where the controller is not at its limits
ROWS = 7  # odd: one process gets 4 rows, the other 3
SETTINGS: dict[str, Any] = dict(max_grad_norm=0.0, batch_size=ROWS, lr=1e-3, warmup=0.0)
Made = tuple[L.LightningModule, L.LightningDataModule]


class Keep(Callback):
    """Writes what each process ends with: the main process sees nothing of the others'."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        found = dict(gradients=gradients(pl_module), weights=weights(pl_module), rows=trainer.logger.rows)
        torch.save(found, self.folder / f"{trainer.world_size}-{trainer.global_rank}.pt")


def array(ids: list[int]) -> np.ndarray:
    return np.array(ids, dtype=np.int32)


def data(view: Data, rows: list[Any], reference: Any = None) -> PreferenceData:
    length = dict(steps=3) if view is Data.PROMPTS else dict(epochs=2)
    return PreferenceData(view, rows, len(rows), seeds=Seeds(0), pad_id=0, reference=reference, **length)


def pair_rows() -> list[PairTokens]:
    both = zip(texts(ROWS, 0), texts(ROWS, 1), strict=True)
    return [
        PairTokens(i, array(prompt), array(chosen), array(rejected), margin=None, probability=None, truncated=False)
        for i, ((prompt, chosen), (_, rejected)) in enumerate(both)
    ]


def sft() -> Made:
    rows = [
        DemonstrationTokens(row=i, prompt=array(p), completion=array(c), truncated=False)
        for i, (p, c) in enumerate(texts(ROWS))
    ]
    return SFTModule(SFTConfig(**SETTINGS), parts(Policy(gpt2()), micro=2, total=2)), data(Data.DEMONSTRATIONS, rows)


def dpo() -> Made:
    policy, rows = Policy(gpt2()), pair_rows()
    sides = [[(row.prompt, getattr(row, side)) for row in rows] for side in ("chosen", "rejected")]
    reference = [pad(side, 0) for side in sides]
    with torch.no_grad():
        logps = [sequences.gather(policy(sequences).logps) for sequences in reference]
    module = pair_module("dpo", DPOConfig(**SETTINGS), policy, micro=2, total=2)
    return module, data(Data.PAIRS, rows, list(zip(*logps, strict=True)))


def reward() -> Made:
    return RewardModule(RewardModelConfig(**SETTINGS), parts(scorer(), micro=2, total=2)), data(Data.PAIRS, pair_rows())


def ppo(rows: int = ROWS, minibatches: int = 1) -> Made:
    policy = Policy(gpt2())
    rollout = rollouts(policy, rows)
    settings = SETTINGS | dict(batch_size=rows, minibatches=minibatches, kl_target=KL_TARGET, kl_horizon=10)
    module, _ = learner(policy, rollout, micro=2, total=3, **settings)
    tokens = [
        PromptTokens(row=i, prompt=array(p), source=Prompt(str(i), text="?"), truncated=False)
        for i, (p, _) in enumerate(rollout.sequences.split())
    ]
    return module, data(Data.PROMPTS, tokens)


def run(made: Made, folder: Path, **options: Any) -> None:
    module, rows = made
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        L.Trainer(
            accelerator="cpu",
            **options,
            max_epochs=1,
            logger=Rows(),
            log_every_n_steps=1,
            callbacks=[Keep(folder)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
        ).fit(module, datamodule=rows)


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")
@pytest.mark.parametrize("make", [sft, dpo, reward, ppo])
def test_two_processes_learn_what_one_learns(make: Callable[[], Made], tmp_path: Path) -> None:
    run(make(), tmp_path, devices=1)
    run(make(), tmp_path, devices=2, strategy="ddp_fork")
    one, first, second = (torch.load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1"))
    for name, value in first["weights"].items():
        assert torch.equal(second["weights"][name], value), f"{name} differs between the two processes"
    assert one["gradients"].keys() == first["gradients"].keys()
    for name, gradient in one["gradients"].items():
        exact = name.startswith("policy.")  # the norms of the Llama scorers compute in float32
        atol = 1e-9 if exact else 1e-5
        torch.testing.assert_close(first["gradients"][name], gradient, rtol=0, atol=atol, msg=name)
        # Where a gradient is rounding alone, Adam's first step is a step in a random direction.
        moved = gradient.abs() > 1e-4
        torch.testing.assert_close(
            first["weights"][name][moved], one["weights"][name][moved], rtol=0, atol=1e-7 if exact else 1e-4, msg=name
        )
    for row, other in zip(one["rows"], first["rows"], strict=True):
        apart = {"train/engine_gap"}  # a maximum over the rows of the process that logs
        assert {k: v for k, v in other.items() if k not in apart} == pytest.approx(
            {k: v for k, v in row.items() if k not in apart}, abs=1e-5, nan_ok=True
        )


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")
def test_shares_of_different_size_take_the_same_number_of_updates(tmp_path: Path) -> None:
    """9 rows in 3 minibatches: one process has 5 rows and the other 4, and both must meet at every update."""
    run(ppo(rows=9, minibatches=3), tmp_path, devices=2, strategy="ddp_fork")
    first, second = (torch.load(tmp_path / f"2-{rank}.pt")["weights"] for rank in (0, 1))
    assert all(torch.equal(second[name], value) for name, value in first.items())


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn", "fsdp"])
def test_strategies_that_start_the_command_again_are_refused(strategy: str) -> None:
    message = f"trainer.strategy must be auto or ddp_fork, got {strategy!r}: others start the whole command"
    with pytest.raises(ConfigError, match=re.escape(message)):
        TrainerConfig(devices=2, strategy=strategy)
    assert TrainerConfig(devices=2).strategy == "auto"
