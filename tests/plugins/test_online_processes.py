"""Two processes learn what one learns, whatever the statistics of the policy-gradient method are over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from alignlab.plugins.grpo.config import GRPOConfig
from alignlab.plugins.grpo.module import GRPOModule
from alignlab.plugins.ppo.config import PPOConfig
from alignlab.plugins.ppo.module import PPOModule
from alignlab.plugins.reinforce.config import ReinforceConfig
from alignlab.plugins.reinforce.module import ReinforceModule
from alignlab.plugins.reinforce_pp.config import ReinforcePPConfig
from alignlab.plugins.reinforce_pp.module import ReinforcePPModule
from alignlab.plugins.remax.config import ReMaxConfig
from alignlab.plugins.remax.module import ReMaxModule
from alignlab.plugins.rloo.config import RLOOConfig
from alignlab.plugins.rloo.module import RLOOModule
from doubles import Checksum, Replay, rollouts
from lightning.pytorch.callbacks import Callback
from online import online
from small import demonstrations, fit, gpt2, scorer, weights

from alignlab.data.batch import PromptBatch
from alignlab.models.policy import Policy
from alignlab.rollout.batch import Rollouts

TWIN = Policy(gpt2())
SETTINGS: dict[str, Any] = dict(batch_size=8, group_size=2, max_grad_norm=0.0, lr=1e-3, warmup=0.0, minibatches=2)
LEAVES_OUT = dict(aggregate="token", zero_std="drop", overlong_penalty=1.0)
METHODS = {
    "grpo": (GRPOModule, GRPOConfig(**SETTINGS, advantage_std="batch", kl_place="reward")),
    "grpo-drop": (GRPOModule, GRPOConfig(**SETTINGS, **LEAVES_OUT)),
    "rloo": (RLOOModule, RLOOConfig(**SETTINGS, surrogate="sequence_clip")),
    "reinforce": (ReinforceModule, ReinforceConfig(**SETTINGS, baseline="batch_mean")),
    "reinforce_pp": (ReinforcePPModule, ReinforcePPConfig(**SETTINGS, baseline="mean")),
    "remax": (ReMaxModule, ReMaxConfig(**SETTINGS)),
    "ppo_ptx": (PPOModule, PPOConfig(**SETTINGS, ptx_weight=0.5)),
}


class Keep(Callback):
    """Writes what each process ends with: the main process sees nothing of the others'."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        policy = {name: value for name, value in weights(pl_module).items() if name.startswith("policy.")}
        torch.save((policy, trainer.logger.rows), self.folder / f"{trainer.world_size}-{trainer.global_rank}.pt")


class PerPrompt(Replay):
    """A greedy completion for each prompt: every second row of the rollout it replays."""

    def sample(self, prompts: Any, noise: Any) -> Rollouts:
        return self.steps[0].select(noise.rows // 2)


def auxiliary(step: int, rank: int, world: int) -> Any:
    return demonstrations(8, seed=step).select(torch.arange(rank, 8, world))


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")
@pytest.mark.parametrize("name", METHODS)
def test_two_processes_learn_what_one_learns(name: str, tmp_path: Path) -> None:
    kind, config = METHODS[name]
    rollout = rollouts(TWIN, 8)
    for row in (2, 3):  # one group of two equal completions, which earn the same
        for field in rollout.sequences:
            field[row] = field[4]
        rollout.ended[row] = True
    with torch.no_grad():
        rollout = rollout._replace(logps=TWIN(rollout.sequences).logps)
    for world in (1, 2):
        more = dict(reward=Checksum(), value=scorer(5), auxiliary=auxiliary, micro=2, total=2)
        more["new_engine"] = lambda model, temperature: PerPrompt(rollouts(TWIN, 4, seed=9))
        module, whole = online(kind, config, Policy(gpt2()), rollout, **more)
        share = 4 // world
        batch = PromptBatch(whole.index[:share], whole.prompts[:share], whole.rows[:share])
        options = dict(devices=world, callbacks=[Keep(tmp_path)]) | (dict(strategy="ddp_fork") if world > 1 else {})
        fit(module, [batch, batch], **options)
    stored = (torch.load(tmp_path / f"{place}.pt") for place in ("1-0", "2-0", "2-1"))
    (one, rows), (first, others), (second, _) = stored
    for key, value in one.items():
        assert torch.equal(first[key], second[key]), f"{key} differs between the two processes"
        torch.testing.assert_close(first[key], value, rtol=0, atol=1e-7, msg=key)
    for row, other in zip(rows, others, strict=True):
        row.pop("train/engine_gap", None), other.pop("train/engine_gap", None)  # of the process that logs
        assert other == pytest.approx(row, abs=1e-5, nan_ok=True)
