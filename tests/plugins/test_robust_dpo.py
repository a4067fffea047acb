"""Robust DPO against its closed form and its gradient, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.robust_dpo.config import RobustDPOConfig
from alignlab.plugins.robust_dpo.loss import robust_dpo_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, *, grad: bool = False, dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=grad) for x in (chosen, rejected))
    return PairLogps(*sides, torch.tensor([4.0], dtype=dtype), torch.tensor([9.0], dtype=dtype))


def dpo(z: float) -> float:
    return math.log1p(math.exp(-z))


@pytest.mark.parametrize("beta", [0.05, 1.0])
@pytest.mark.parametrize("eps", [0.0, 0.1, 0.4, 0.49])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_closed_form(beta: float, eps: float, chosen: float, rejected: float) -> None:
    z = beta * ((chosen - -4.0) - (rejected - -5.0))
    expected = ((1 - eps) * dpo(z) - eps * dpo(-z)) / (1 - 2 * eps)
    terms = robust_dpo_loss(pair(chosen, rejected), pair(-4.0, -5.0), beta=beta, flip_rate=eps)
    assert terms.loss.item() == pytest.approx(expected, rel=1e-12, abs=1e-14)
    assert terms.implicit_margin.item() == pytest.approx(z, abs=1e-15)


@pytest.mark.parametrize("eps", [0.0, 0.1, 0.3, 0.45])
@pytest.mark.parametrize("z", [-3.0, 0.5, 4.0])
def test_average_over_flips_of_the_label_is_dpo_of_the_true_one(eps: float, z: float) -> None:
    policy, reference = pair(z, 0.0), pair(0.0, 0.0)
    kept = robust_dpo_loss(policy, reference, beta=1.0, flip_rate=eps).loss
    flipped = robust_dpo_loss(policy.swapped, reference.swapped, beta=1.0, flip_rate=eps).loss
    assert ((1 - eps) * kept + eps * flipped).item() == pytest.approx(dpo(z), abs=1e-13)


@pytest.mark.parametrize("eps", [0.0, 0.2, 0.4])
def test_is_log_two_where_policy_equals_reference(eps: float) -> None:
    same = pair(-3.0, -7.0)
    assert robust_dpo_loss(same, same, beta=0.1, flip_rate=eps).loss.item() == pytest.approx(math.log(2), abs=1e-15)


@pytest.mark.parametrize("eps", [0.0, 0.1, 0.4])
def test_gradient_is_that_of_dpo_and_a_constant(eps: float) -> None:
    """d loss / d log pi(y_w) = -beta [(1 - eps) sigmoid(-z) + eps sigmoid(z)] / (1 - 2 eps)."""
    policy = pair(-3.0, -7.0, grad=True)
    robust_dpo_loss(policy, pair(-4.0, -5.0), beta=0.5, flip_rate=eps).loss.sum().backward()
    wrong = 1 / (1 + math.exp(1.5))
    expected = -0.5 * ((1 - eps) * wrong + eps * (1 - wrong)) / (1 - 2 * eps)
    assert policy.chosen.grad.item() == pytest.approx(expected, abs=1e-14)
    assert policy.rejected.grad.item() == pytest.approx(-expected, abs=1e-14)


def test_a_pair_that_is_won_keeps_a_gradient_and_a_falling_loss() -> None:
    policy = pair(50.0, 0.0, grad=True)
    terms = robust_dpo_loss(policy, pair(0.0, 0.0), beta=1.0, flip_rate=0.1)
    terms.loss.sum().backward()
    assert terms.loss.item() == pytest.approx(-50 * 0.1 / 0.8, rel=1e-12)
    assert policy.chosen.grad.item() == pytest.approx(-0.1 / 0.8, rel=1e-12)


def test_derivative_agrees_with_finite_differences() -> None:
    policy, reference = pair(-3.0, -7.0, grad=True), pair(-4.0, -5.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        moved = policy._replace(chosen=chosen, rejected=rejected)
        return robust_dpo_loss(moved, reference, beta=0.3, flip_rate=0.2).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("margin", "loss", "slope"), [(1e4, -2500.0, -0.25), (-1e4, 12500.0, -1.25)])
def test_extreme_margins_stay_finite(dtype: torch.dtype, margin: float, loss: float, slope: float) -> None:
    policy = pair(margin, 0.0, grad=True, dtype=dtype)
    found = robust_dpo_loss(policy, pair(0.0, 0.0, dtype=dtype), beta=1.0, flip_rate=1 / 6).loss
    found.sum().backward()
    assert found.item() == pytest.approx(loss, rel=1e-6)
    assert policy.chosen.grad.item() == pytest.approx(slope, rel=1e-6)
    assert policy.rejected.grad.item() == pytest.approx(-slope, rel=1e-6)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(flip_rate=0.5), "algo.flip_rate must lie in [0, 0.5), got 0.5\n  remedy: Assumed probability that a"),
        (dict(flip_rate=-0.1), "The default is algo.flip_rate=0.1."),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        RobustDPOConfig(**setting)
