"""Blocks computed again in the backward pass: the same training, and as it was afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from contract import job_of
from small import F64, Frozen, gradients, llama, pairs
from torch import nn

from alignlab.config import TrainerConfig
from alignlab.errors import ModelError
from alignlab.exact.table import TableModel
from alignlab.models.policy import Policy
from alignlab.models.recompute import recomputing
from alignlab.stages import training


def runs_of(part: nn.Module) -> list[bool]:
    """One entry for each time the part runs: whether gradients are recorded."""
    found: list[bool] = []
    part.register_forward_hook(lambda *_: found.append(torch.is_grad_enabled()))
    return found


def test_what_a_block_holds_runs_twice_and_gradients_stay() -> None:
    policy, sequences = Policy(llama(num_hidden_layers=2)), pairs(3).sequences
    policy(sequences).logps.sum().backward()
    kept = gradients(policy)
    policy.zero_grad()
    runs = runs_of(policy.model.model.layers[0].self_attn)
    with recomputing(policy):
        policy(sequences).logps.sum().backward()
    assert len(runs) == 2
    for name, value in gradients(policy).items():
        torch.testing.assert_close(value, kept[name], rtol=1e-12, atol=1e-14)
    assert not any(part.training for part in policy.model.modules()), "modes came back"
    policy(sequences).logps.sum().backward()
    assert len(runs) == 3, "and blocks keep their activations again"


def test_what_does_not_train_is_left_alone() -> None:
    owner = nn.Module()
    owner.policy, owner.reference = Policy(llama()), Frozen(Policy(llama()))
    owner.moving = Policy(llama()).requires_grad_(False)
    with recomputing(owner):
        switched = [part.model.model.layers[0].gradient_checkpointing for part in (owner.policy, owner.moving)]
        assert switched == [True, False]
        assert not owner.reference.model.model.model.layers[0].gradient_checkpointing


def test_a_model_that_cannot_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="TableModel cannot compute its activations again"), recomputing(TableModel()):
        pass


@pytest.mark.parametrize("name", ["dpo", "ppo"])
def test_a_whole_training_learns_the_same(name: str, tmp_path: Path) -> None:
    """PPO samples, scores and values on the way; its engine reads the weights of a model in training mode."""
    ended = []
    for again in (False, True):
        _, job = job_of(name, tmp_path / "store", "rollout.engine=transformers", steps=2)
        data = job.data()
        module = job.method.load_module()(job.config, job.parts(total=len(data.train_dataloader())))
        module.to(F64)
        runs = runs_of(module.parts.model.model.model.layers[0].self_attn)
        work = tmp_path / str(again)
        work.mkdir()
        config = TrainerConfig(accelerator="cpu", gradient_checkpointing=again)
        training.fit(module, data, training.Job(name, work, config, job.seeds))
        ended.append((module.state_dict(), sum(runs)))
    (kept, once), (computed, twice) = ended
    assert twice > 1.5 * once
    for key, value in kept.items():
        torch.testing.assert_close(computed[key], value, rtol=1e-7, atol=1e-9)
