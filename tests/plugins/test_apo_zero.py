"""APO-zero against its closed form and its gradient, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.apo_zero.config import APOZeroConfig
from alignlab.plugins.apo_zero.loss import apo_zero_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, *, grad: bool = False, dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=grad) for x in (chosen, rejected))
    return PairLogps(*sides, torch.tensor([4.0], dtype=dtype), torch.tensor([9.0], dtype=dtype))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_closed_form(beta: float, chosen: float, rejected: float) -> None:
    r_w, r_l = beta * (chosen + 4.0), beta * (rejected + 5.0)
    terms = apo_zero_loss(pair(chosen, rejected), pair(-4.0, -5.0), beta=beta)
    assert terms.loss.item() == pytest.approx(1 - sigmoid(r_w) + sigmoid(r_l), abs=1e-15)
    assert terms.implicit_margin.item() == pytest.approx(r_w - r_l, abs=1e-14)


def test_is_one_where_policy_equals_reference() -> None:
    same = pair(-3.0, -7.0)
    assert apo_zero_loss(same, same, beta=0.1).loss.item() == 1


@pytest.mark.parametrize(("r_w", "r_l"), [(0.0, 0.0), (0.4, -1.0), (-2.0, 2.0)])
def test_chosen_is_raised_and_rejected_lowered_each_by_itself(r_w: float, r_l: float) -> None:
    beta = 0.5
    policy = pair(r_w / beta, r_l / beta, grad=True)
    apo_zero_loss(policy, pair(0.0, 0.0), beta=beta).loss.sum().backward()
    assert policy.chosen.grad.item() == pytest.approx(-beta * sigmoid(r_w) * sigmoid(-r_w), abs=1e-16)
    assert policy.rejected.grad.item() == pytest.approx(beta * sigmoid(r_l) * sigmoid(-r_l), abs=1e-16)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
def test_soft_labels_scale_the_pull(p: float) -> None:
    """p L(w, l) + (1 - p) L(l, w) = 1 + (2 p - 1) [L(w, l) - 1]: nothing is learned from a coin toss."""
    policy, reference = pair(-3.0, -7.0), pair(-4.0, -5.0)
    right = apo_zero_loss(policy, reference, beta=0.5).loss
    wrong = apo_zero_loss(policy.swapped, reference.swapped, beta=0.5).loss
    pull = sigmoid(-1.0) - sigmoid(0.5)
    assert right.item() == pytest.approx(1 + pull, abs=1e-15)
    assert (p * right + (1 - p) * wrong).item() == pytest.approx(1 + (2 * p - 1) * pull, abs=1e-15)


def test_derivative_agrees_with_finite_differences() -> None:
    policy, reference = pair(-3.0, -7.0, grad=True), pair(-4.0, -5.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return apo_zero_loss(policy._replace(chosen=chosen, rejected=rejected), reference, beta=0.3).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("chosen", "rejected", "loss"), [(1e4, -1e4, 0.0), (-1e4, 1e4, 2.0), (1e4, 1e4, 1.0)])
def test_extreme_log_ratios_reach_the_bounds_with_no_gradient(
    dtype: torch.dtype, chosen: float, rejected: float, loss: float
) -> None:
    policy = pair(chosen, rejected, grad=True, dtype=dtype)
    found = apo_zero_loss(policy, pair(0.0, 0.0, dtype=dtype), beta=1.0).loss
    found.sum().backward()
    assert found.item() == loss
    assert policy.chosen.grad.item() == policy.rejected.grad.item() == 0


def test_a_nearly_solved_pair_keeps_its_tiny_loss_in_float32() -> None:
    """1 - sigmoid(r) would round to 0 where sigmoid(-r) does not."""
    found = apo_zero_loss(pair(30.0, -30.0, dtype=torch.float32), pair(0.0, 0.0, dtype=torch.float32), beta=1.0).loss
    assert found.item() == pytest.approx(2 * math.exp(-30), rel=1e-5)


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ConfigError, match=re.escape("algo.beta must lie in (0, inf), got 0.0")):
        APOZeroConfig(beta=0.0)
