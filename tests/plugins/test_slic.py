"""SLiC-HF against its closed form and its gradient, in float64."""

from __future__ import annotations

import re

import pytest
import torch
from alignlab.plugins.slic.config import SLiCConfig
from alignlab.plugins.slic.loss import slic_loss
from small import fit, gpt2, pair_module, pairs

from alignlab.errors import ConfigError
from alignlab.models.policy import Policy
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=True) for x in (chosen, rejected))
    return PairLogps(*sides, torch.tensor([4.0], dtype=dtype), torch.tensor([9.0], dtype=dtype))


@pytest.mark.parametrize("delta", [0.0, 1.0, 10.0])
@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_closed_form(delta: float, weight: float, chosen: float, rejected: float) -> None:
    short = delta - chosen + rejected
    terms = slic_loss(pair(chosen, rejected), target_margin=delta, nll_weight=weight)
    assert terms.loss.item() == pytest.approx((short if short > 0 else 0.0) - weight * chosen, abs=1e-14)
    assert terms.implicit_margin.item() == chosen - rejected


@pytest.mark.parametrize(("chosen", "ranked"), [(-20.0, False), (-6.01, False), (-6.0, True), (-1.0, True)])
def test_past_the_margin_only_the_likelihood_of_chosen_pulls(chosen: float, ranked: bool) -> None:
    """delta = 1 over log pi(y_l) = -7; at the hinge exactly there is nothing left to rank."""
    policy = pair(chosen, -7.0)
    slic_loss(policy, target_margin=1.0, nll_weight=0.1).loss.sum().backward()
    assert policy.chosen.grad.item() == pytest.approx(-0.1 if ranked else -1.1, abs=1e-15)
    assert policy.rejected.grad.item() == (0.0 if ranked else 1.0)


def test_is_the_margin_plus_the_likelihood_where_both_completions_are_equally_likely() -> None:
    terms = slic_loss(pair(-5.0, -5.0), target_margin=1.0, nll_weight=0.1)
    assert terms.loss.item() == pytest.approx(1.5, abs=1e-15)


@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_derivative_agrees_with_finite_differences_on_both_sides_of_the_hinge(chosen: float, rejected: float) -> None:
    policy = pair(chosen, rejected)

    def of(w: torch.Tensor, lo: torch.Tensor) -> torch.Tensor:
        return slic_loss(policy._replace(chosen=w, rejected=lo), target_margin=1.0, nll_weight=0.3).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("chosen", "loss", "slope"), [(0.0, 0.0, 0.0), (-2e4, 1e4 + 1 + 1e4, 1.0)])
def test_extreme_log_probabilities_stay_finite(dtype: torch.dtype, chosen: float, loss: float, slope: float) -> None:
    policy = pair(chosen, -1e4, dtype)
    found = slic_loss(policy, target_margin=1.0, nll_weight=0.5).loss
    found.sum().backward()
    assert found.item() == pytest.approx(loss, rel=1e-6)
    assert policy.chosen.grad.item() == -0.5 - slope
    assert policy.rejected.grad.item() == slope


def test_trains_without_a_reference() -> None:
    policy = Policy(gpt2())
    batch = pairs(6, 0)
    chosen, rejected = (side.tolist() for side in policy(batch.sequences).logps.detach().sum(-1).chunk(2))
    log = fit(pair_module("slic", SLiCConfig(target_margin=2.0, nll_weight=0.25), policy, micro=4), [batch])
    terms = [max(0.0, 2 - w + lo) - 0.25 * w for w, lo in zip(chosen, rejected, strict=True)]
    assert log[0]["train/loss"] == pytest.approx(sum(terms) / 6, abs=1e-12)
    assert log[0]["train/margin"] == pytest.approx((sum(chosen) - sum(rejected)) / 6, abs=1e-12)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(target_margin=-0.1), "algo.target_margin must lie in [0, inf), got -0.1"),
        (dict(nll_weight=-1.0), "algo.nll_weight must lie in [0, inf), got -1.0"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        SLiCConfig(**setting)
