"""Where TRL's DPOTrainer and our pair objectives differ, by exactly what, and why. docs/parity.md has the table."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small import gpt2
from torch import Tensor, nn
from trl_side import BETA, F64, Exact, assert_same, collated, dpo_losses, dpo_trainer, gradient, pairs

from alignlab import registry
from alignlab.modules.objective import PairObjective
from alignlab.numerics.logps import PairLogps


def test_sigmoid_does_not_read_label_smoothing(tmp_path: Path) -> None:
    """Conservative DPO was once this loss type with label_smoothing; now TRL takes the setting and ignores it.

    What ours is can be had from theirs: (1 - eps) loss(w, l) + eps loss(l, w).
    """
    eps, rows = 0.2, pairs(8)
    swapped = [dict(prompt=row["prompt"], chosen=row["rejected"], rejected=row["chosen"]) for row in rows]
    plain, _, policy = dpo_losses(tmp_path, {}, "dpo", {})
    smoothed, ours, _ = dpo_losses(
        tmp_path, dict(label_smoothing=eps), "dpo", dict(label_smoothing=eps), rows=rows, policy=policy
    )
    flipped, _, _ = dpo_losses(tmp_path, {}, "dpo", {}, rows=swapped, policy=policy)
    assert smoothed.item() == plain.item()
    assert_same((1 - eps) * plain + eps * flipped, ours.mean(), policy)


def test_ipo_of_means_is_ipo_of_sums_at_another_temperature(tmp_path: Path) -> None:
    """TRL divides log-ratios by lengths, as the paper's authors told it they did; Eq. 17 has whole completions.

    At one length n, (n d - 1 / (2 tau))^2 = n^2 (d - 1 / (2 n tau))^2. Over several lengths no factor relates them.
    """
    rows = [dict(prompt=a, chosen=f" {a} {b}", rejected=f" {b} {a}") for a, b in ("ab", "cd", "ef", "gh")]
    n = 3
    _, sums, policy = dpo_losses(tmp_path, {}, "ipo", {}, rows=rows)
    theirs, _, _ = dpo_losses(tmp_path, dict(loss_type=["ipo"], beta=n * BETA), "ipo", {}, rows=rows, policy=policy)
    assert_same(n**2 * theirs, sums.mean(), policy)


def token_terms(policy: nn.Module, trainer: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Mean log-probability a token, the same less log sum p^2, and lengths of a trainer's whole batch, (2B,) each."""
    batch = collated(trainer)
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -1)
    tokens, lengths = Exact(policy)(batch["input_ids"], labels), batch["completion_mask"].sum(-1)
    typical = (tokens.log_probs - tokens.log_sum_sq_probs).sum(-1) / lengths
    return tokens.log_probs.sum(-1) / lengths, typical.detach(), lengths


def test_likelihood_term_is_a_mean_over_the_tokens_of_the_batch(tmp_path: Path) -> None:
    """Loss type sft weighs long completions more, as cross-entropy over a flat batch does; ours weighs pairs equally.

    Ours does not depend on how a batch is cut into micro-batches, theirs does.
    """
    theirs = dict(loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.7])
    loss, losses, policy = dpo_losses(tmp_path, theirs, "dpo", dict(sft_weight=0.7))
    means, _, lengths = token_terms(policy, dpo_trainer(tmp_path))
    chosen, weights = -means.chunk(2)[0], lengths.chunk(2)[0].double()
    by_token = (chosen * weights).sum() / weights.sum()
    assert abs(by_token - chosen.mean()) > 0.01
    assert_same(loss, losses.mean() + 0.7 * (by_token - chosen.mean()), policy)


def test_pair_weights_have_no_bound(tmp_path: Path) -> None:
    """WPO: the authors' code, and ours, holds a pair's weight at 1 or less."""
    # Where nearly every token is as likely as any other, a completion can be likelier than is typical.
    flat = gpt2(1, initializer_range=0.02)
    theirs = dict(use_weighting=True)
    loss, ours, policy = dpo_losses(tmp_path, theirs, "dpo", dict(on_policy_weight=True), policy=flat)
    _, plain, _ = dpo_losses(tmp_path, {}, "dpo", {}, policy=policy)
    weights = sum(token_terms(policy, dpo_trainer(tmp_path))[1].chunk(2)).exp()
    assert weights.min() < 1 < weights.max()
    assert_same(loss, (weights * plain).mean(), policy)
    assert_same(ours.mean(), (weights.clamp_max(1) * plain).mean(), policy)


def test_pair_weights_and_a_likelihood_term_cannot_be_had_together(tmp_path: Path) -> None:
    """TRL scales in place a number it has spread over the batch without copying; here the two modifiers compose."""
    theirs = dict(loss_type=["sigmoid", "sft"], use_weighting=True)
    with pytest.raises(RuntimeError, match="clone"):
        dpo_losses(tmp_path, theirs, "dpo", {})
    _, losses, _ = dpo_losses(tmp_path, {}, "dpo", dict(on_policy_weight=True, sft_weight=1.0))
    assert losses.isfinite().all()


class Given(nn.Module):
    """A model of which the log-probability of every completion is known: all of it on the first token, (2B,)."""

    def __init__(self, logps: Tensor) -> None:
        super().__init__()
        self.logps = nn.Parameter(logps)

    def forward(self, labels: Tensor, **_: Any) -> Any:
        counts = labels[:, 1:] >= 0
        first = counts & (counts.cumsum(-1) == 1)
        none = torch.zeros(counts.shape, dtype=self.logps.dtype)
        known = none.masked_scatter(first, self.logps)
        return SimpleNamespace(log_probs=known, entropy=none, mean_logits=none, is_top1=counts)


EXTREMES = {
    "discopop": (dict(loss_type=["discopop"], beta=1.0), "discopop", dict(beta=1.0), F64, (-900.0, 0.0)),
    "forward KL": (dict(f_divergence_type="forward_kl"), "f_dpo", dict(divergence="forward_kl"), F64, (-900.0, -800.0)),
}


@pytest.mark.parametrize("case", EXTREMES)
def test_no_number_where_ours_is_finite(case: str, tmp_path: Path) -> None:
    """DiscoPOP: 0 times an exponential that overflows. Forward KL: the difference of two that do."""
    theirs, name, ours, dtype, (chosen, rejected) = EXTREMES[case]
    loss, own, slope = extreme(tmp_path, theirs, name, ours, torch.tensor([chosen, rejected], dtype=dtype))
    assert math.isnan(loss)
    assert math.isfinite(own)
    assert slope.isfinite().all()


def test_alpha_divergence_ties_where_ours_keeps_the_order(tmp_path: Path) -> None:
    """TRL holds the exponent at 80, so that a pair beyond it is a tie without gradient; ours goes on linearly."""
    theirs, ours = dict(f_divergence_type="alpha_divergence"), dict(divergence="alpha", alpha=0.5)
    loss, own, slope = extreme(tmp_path, theirs, "f_dpo", ours, torch.tensor([-300.0, -200.0]))
    assert loss == pytest.approx(math.log(2))
    assert own > 1e10
    assert slope[0] < 0 < slope[1]


def extreme(
    folder: Path, theirs: dict[str, Any], name: str, ours: dict[str, Any], logps: Tensor
) -> tuple[float, float, Tensor]:
    """Their loss, ours and our gradient for one pair at given log-probabilities, those of the reference being 0."""
    trainer = dpo_trainer(folder, pairs(1), **theirs)
    trainer.ref_model = Given(torch.zeros_like(logps))
    policy = Given(logps)
    loss = trainer.compute_loss(policy, collated(trainer))
    if not loss.isnan():
        assert gradient(loss, policy).eq(0).all()
    method = registry.method(name)
    objective = PairObjective(method, method.config(**(dict(beta=BETA) | ours)))
    sides = [side.requires_grad_() for side in logps.clone().split(1)]
    one = torch.ones_like(sides[0])
    none = PairLogps(0 * one, 0 * one, one, one)
    own = objective.terms(PairLogps(*sides, one, one), none, None, {}).loss
    return loss.item(), own.item(), torch.cat(torch.autograd.grad(own, sides))
