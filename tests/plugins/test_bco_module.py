"""BCO's threshold against loops over batches, and over a run that was stopped."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from alignlab.plugins.bco.config import BCOConfig
from alignlab.plugins.bco.module import BCOModule
from labelled import labels, ratios
from small import fit, gpt2, gradients, parts, weights

from alignlab.data.batch import LabelBatch
from alignlab.data.loader import Batches
from alignlab.models.policy import Policy

BETA = 0.3


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def module(policy: Policy, **more: Any) -> BCOModule:
    given = {name: more.pop(name) for name in ("micro", "total", "auxiliary") if name in more}
    return BCOModule(BCOConfig(**(dict(beta=BETA, max_grad_norm=0.0) | more)), parts(policy, **given))


@pytest.mark.parametrize("micro", [0, 1, 3])
def test_first_gradient_is_half_of_beta_per_row(micro: int) -> None:
    policy, other = Policy(gpt2()), Policy(gpt2())
    batch = labels(7, 0, policy)
    sign = torch.where(batch.desirable, 1.0, -1.0).double()
    (-BETA / 2 * (sign * other(batch.sequences).logps.sum(-1)).mean()).backward()
    log = fit(module(policy, micro=micro), [batch])[0]
    assert log["train/loss"] == pytest.approx(math.log(2), abs=1e-14)
    assert log["train/reward_shift"] == pytest.approx(0, abs=1e-14)
    expected = gradients(other)
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-12, msg=name)


class Spy(BCOModule):
    """Keeps each batch's rewards before its update, as (desirable, undesirable)."""

    def training_step(self, batch: LabelBatch, batch_idx: int) -> None:
        with torch.no_grad():
            rewards = BETA * ratios(self.policy, batch)
        self.seen.append((rewards[batch.desirable].tolist(), rewards[~batch.desirable].tolist()))
        super().training_step(batch, batch_idx)


@pytest.mark.parametrize("memory", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("micro", [0, 2])
def test_shift_and_loss_follow_a_loop_over_batches(memory: float, micro: int) -> None:
    policy = Policy(gpt2())
    batches = [labels(rows, seed, policy) for rows, seed in ((7, 0), (4, 1), (5, 2))]
    learner = module(policy, micro=micro, total=3, lr=3e-3, warmup=0.0, shift_memory=memory)
    learner.__class__, learner.seen = Spy, []
    log = fit(learner, batches)
    sums, counts = [0.0, 0.0], [0.0, 0.0]
    for row, kinds in zip(log, learner.seen, strict=True):
        sums = [memory * total + sum(kind) for total, kind in zip(sums, kinds, strict=True)]
        counts = [memory * count + len(kind) for count, kind in zip(counts, kinds, strict=True)]
        shift = sum(total / count for total, count in zip(sums, counts, strict=True)) / 2
        assert row["train/reward_shift"] == pytest.approx(shift, abs=1e-12)
        losses = [softplus(shift - r) for r in kinds[0]] + [softplus(r - shift) for r in kinds[1]]
        assert row["train/loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-12)
    assert abs(log[-1]["train/reward_shift"]) > 1e-3


class Stop(L.Callback):
    """Write a checkpoint after a step, as a run that is stopped does."""

    def __init__(self, path: Path, after: int) -> None:
        self.path, self.after = path, after

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *rest: Any) -> None:
        if trainer.global_step == self.after:
            trainer.save_checkpoint(self.path)


def train(learner: BCOModule, batches: list[LabelBatch], *callbacks: L.Callback, path: Path | None = None) -> None:
    quiet = dict(logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False)
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", devices=1, callbacks=list(callbacks), **quiet)
    loader = Batches(batches, lambda rows, index: rows[0], 1, seeds=None, epochs=1)
    trainer.fit(learner, loader, ckpt_path=path, weights_only=False)


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = Policy(gpt2())
    batches = [labels(6, seed, start) for seed in range(4)]
    rows = [labels(6, seed) for seed in range(2)]

    def auxiliary(step: int, rank: int, world: int) -> LabelBatch:
        return LabelBatch(torch.arange(6), rows[0].sequences, rows[0].desirable)

    settings = dict(total=4, lr=1e-2, warmup=0.0, density_ratio=True, auxiliary=auxiliary)
    whole, resumed = Policy(gpt2()), Policy(gpt2())
    first, second = module(whole, **settings), module(resumed, **settings)
    train(first, batches, Stop(tmp_path / "last.ckpt", 2))
    assert bool((first.ratios != 1).any())
    monkeypatch.setattr("alignlab.plugins.bco.module.density_ratios", None)  # fitted once, never again
    train(second, batches, path=tmp_path / "last.ckpt")
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(resumed).items())
    for name in ("reward_sums", "reward_counts", "ratios"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert first.reward_counts.tolist() == [16.0, 8.0]
