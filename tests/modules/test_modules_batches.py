"""However a batch is cut or ordered, the gradient is that of the whole batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from alignlab.plugins.dpo.config import DPOConfig
from alignlab.plugins.reward_model.config import RewardModelConfig
from alignlab.plugins.reward_model.module import RewardModule
from alignlab.plugins.sft.config import SFTConfig
from alignlab.plugins.sft.module import SFTModule
from doubles import learner, rollouts
from small import demonstrations, fit, gpt2, gradients, pair_module, pairs, parts, scorer

from alignlab.data.batch import DemonstrationBatch, PairBatch
from alignlab.models.policy import Policy

ROWS = 7
Made = tuple[L.LightningModule, Any]
UNCLIPPED: dict[str, Any] = dict(max_grad_norm=0.0, batch_size=ROWS)


def sft(micro: int, order: torch.Tensor) -> Made:
    batch = demonstrations(ROWS)
    batch = DemonstrationBatch(batch.index[order], batch.sequences.select(order))
    return SFTModule(SFTConfig(**UNCLIPPED), parts(Policy(gpt2()), micro=micro)), batch


def reordered(batch: PairBatch, order: torch.Tensor) -> PairBatch:
    both = torch.cat([order, order + len(batch)])
    reference = None if batch.reference is None else batch.reference[both]
    return PairBatch(
        batch.index[order], batch.sequences.select(both), reference, batch.margin[order], batch.probability[order]
    )


def columns() -> dict[str, torch.Tensor]:
    return dict(
        margin=torch.tensor([0.1, 0.5, float("nan"), 1.0, 0.0, 0.2, 0.3]), probability=torch.linspace(0.5, 1, ROWS)
    )


def dpo(micro: int, order: torch.Tensor) -> Made:
    policy = Policy(gpt2())
    batch = reordered(pairs(ROWS, 0, policy, **columns()), order)
    return pair_module("dpo", DPOConfig(**UNCLIPPED, label_smoothing=0.1), policy, micro=micro), batch


def reward(micro: int, order: torch.Tensor) -> Made:
    settings = RewardModelConfig(**UNCLIPPED, margin=0.5, centring=0.01)
    return RewardModule(settings, parts(scorer(), micro=micro)), reordered(pairs(ROWS, 0, **columns()), order)


def ppo(micro: int, order: torch.Tensor) -> Made:
    policy = Policy(gpt2())
    return learner(policy, rollouts(policy, ROWS), micro=micro, order=order, **UNCLIPPED)


METHODS: dict[str, Callable[[int, torch.Tensor], Made]] = dict(sft=sft, dpo=dpo, reward=reward, ppo=ppo)
STRAIGHT = torch.arange(ROWS)


def step(made: Made) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    module, batch = made
    log = fit(module, [batch])
    return gradients(module), log[0]


def agree(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """GPT-2 policies compute in float64 throughout; the norms of Llama scorers in float32."""
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        atol = 1e-12 if name.startswith("policy.") else 1e-6
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=atol, msg=name)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("micro", [1, 3, 7, 50])
def test_the_size_of_micro_batches_changes_nothing(method: str, micro: int) -> None:
    whole, log = step(METHODS[method](0, STRAIGHT))
    found, other = step(METHODS[method](micro, STRAIGHT))
    assert any(float(g.abs().max()) > 1e-3 for g in whole.values())
    agree(found, whole)
    assert other == pytest.approx(log, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_rows_changes_nothing(method: str) -> None:
    whole, log = step(METHODS[method](0, STRAIGHT))
    found, other = step(METHODS[method](2, torch.tensor([4, 0, 6, 2, 5, 1, 3])))
    agree(found, whole)
    assert other == pytest.approx(log, abs=1e-6, nan_ok=True)


def test_sft_weighs_tokens_and_not_rows() -> None:
    """The mean of micro-batch means is another number: rows have 1 to 6 tokens."""
    module, batch = sft(1, STRAIGHT)
    with torch.no_grad():
        rows = [module.policy(part).logps[part.completion] for part in batch.sequences.micro(1)]
    log = fit(module, [batch])[0]
    tokens = torch.cat(rows)
    assert log["train/loss"] == pytest.approx(-tokens.mean().item(), abs=1e-12)
    assert log["train/loss"] != pytest.approx(-torch.stack([row.mean() for row in rows]).mean().item(), abs=1e-3)
