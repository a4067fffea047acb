"""IPO against its closed form and its gradient, in float64."""

from __future__ import annotations

import re

import pytest
import torch
from alignlab.plugins.ipo.config import IPOConfig
from alignlab.plugins.ipo.loss import ipo_loss
from small import fit, gpt2, pair_module, pairs

from alignlab.compose import composed
from alignlab.config import typed
from alignlab.errors import ConfigError
from alignlab.models.policy import Policy
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, *, grad: bool = False, dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=grad) for x in (chosen, rejected))
    return PairLogps(*sides, torch.tensor([4.0], dtype=dtype), torch.tensor([9.0], dtype=dtype))


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_closed_form(beta: float, chosen: float, rejected: float) -> None:
    h = (chosen - -4.0) - (rejected - -5.0)
    terms = ipo_loss(pair(chosen, rejected), pair(-4.0, -5.0), beta=beta)
    assert terms.loss.item() == pytest.approx((h - 0.5 / beta) ** 2, rel=1e-14)
    assert terms.implicit_margin.item() == pytest.approx(beta * h, abs=1e-15)


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
def test_starts_from_the_squared_target_where_policy_equals_reference(beta: float) -> None:
    same = pair(-3.0, -7.0)
    for logps in (same, same.averaged):
        assert ipo_loss(logps, logps, beta=beta).loss.item() == pytest.approx(1 / (4 * beta**2), rel=1e-15)


def test_gradient_is_twice_the_distance_to_the_target_from_either_side() -> None:
    for chosen, distance in ((-4.0, -5.0), (1.0, 0.0), (3.0, 2.0)):
        policy = pair(chosen, -5.0, grad=True)
        ipo_loss(policy, pair(-4.0, -5.0), beta=0.1).loss.sum().backward()
        assert policy.chosen.grad.item() == pytest.approx(2 * distance, abs=1e-14)
        assert policy.rejected.grad.item() == pytest.approx(-2 * distance, abs=1e-14)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 0.9])
def test_soft_labels_are_met_at_a_finite_margin(p: float) -> None:
    """h = (2 p - 1) / (2 beta) is where the gradient of both orders cancels."""
    policy, reference = pair((2 * p - 1) / 0.4, 0.0, grad=True), pair(0.0, 0.0)
    right, wrong = (ipo_loss(*sides, beta=0.2) for sides in ((policy, reference), (policy.swapped, reference.swapped)))
    (p * right.loss + (1 - p) * wrong.loss).sum().backward()
    assert policy.chosen.grad.item() == pytest.approx(0, abs=1e-14)


def test_means_per_token_divide_each_log_ratio_by_its_own_length() -> None:
    policy, reference = pair(-3.0, -7.0, grad=True), pair(-4.0, -5.0)
    found = ipo_loss(policy.averaged, reference.averaged, beta=0.5).loss
    h = 1.0 / 4 - -2.0 / 9
    assert found.item() == pytest.approx((h - 1) ** 2, abs=1e-15)
    found.sum().backward()
    assert policy.chosen.grad.item() == pytest.approx(2 * (h - 1) / 4, abs=1e-15)
    assert policy.rejected.grad.item() == pytest.approx(-2 * (h - 1) / 9, abs=1e-15)


def test_derivative_agrees_with_finite_differences() -> None:
    policy, reference = pair(-3.0, -7.0, grad=True), pair(-4.0, -5.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return ipo_loss(policy._replace(chosen=chosen, rejected=rejected), reference, beta=0.3).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("margin", [1e4, -1e4])
def test_extreme_margins_stay_finite(dtype: torch.dtype, margin: float) -> None:
    policy = pair(margin, 0.0, grad=True, dtype=dtype)
    found = ipo_loss(policy, pair(0.0, 0.0, dtype=dtype), beta=0.1).loss
    found.sum().backward()
    assert found.item() == pytest.approx((margin - 5) ** 2, rel=1e-6)
    assert policy.chosen.grad.item() == -policy.rejected.grad.item() == pytest.approx(2 * (margin - 5), rel=1e-6)


@pytest.mark.parametrize(("preset", "means"), [("ipo", False), ("ipo_mean", True), ("ipo_trl", True)])
def test_presets_differ_in_what_a_step_moves_by(preset: str, means: bool) -> None:
    """A first step ends at another place where log-ratios are means, though both begin at 1 / (4 beta^2)."""
    policy = Policy(gpt2())
    batch = pairs(6, 0, policy)
    elsewhere = ("data=files", "data.path=x", "model=hf", "model.path=x")  # nothing has been tuned for it
    config = typed(composed([f"algo={preset}", "algo.max_grad_norm=0", *elsewhere])).algo
    lengths = batch.sequences.completion.sum(-1)
    logps = policy(batch.sequences).logps.sum(-1) / (lengths if means else 1)
    chosen, rejected = logps.chunk(2)
    (-(chosen - rejected).mean() / config.beta).backward()
    expected = {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}
    policy.zero_grad()
    log = fit(pair_module("ipo", config, policy), [batch])
    assert log[0]["train/loss"] == pytest.approx(25.0, rel=1e-12)
    for name, p in policy.named_parameters():
        torch.testing.assert_close(p.grad, expected[name], rtol=0, atol=1e-11, msg=name)


@pytest.mark.parametrize("beta", [0.0, -1.0])
def test_settings_out_of_range_are_named(beta: float) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"algo.beta must lie in (0, inf), got {beta}")):
        IPOConfig(beta=beta)
