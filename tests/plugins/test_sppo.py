"""SPPO against its closed form and its gradient, in float64."""

from __future__ import annotations

import re

import pytest
import torch
from alignlab.plugins.sppo.config import SPPOConfig
from alignlab.plugins.sppo.loss import sppo_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, *, grad: bool = False, dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=grad) for x in (chosen, rejected))
    return PairLogps(*sides, torch.tensor([4.0], dtype=dtype), torch.tensor([9.0], dtype=dtype))


@pytest.mark.parametrize("beta", [0.001, 0.1, 1.0])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_the_paper_with_eta_and_hard_win_probabilities(beta: float, chosen: float, rejected: float) -> None:
    eta, rho_w, rho_l = 1 / beta, chosen + 4.0, rejected + 5.0
    expected = (rho_w - eta * (1 - 0.5)) ** 2 + (rho_l - eta * (0 - 0.5)) ** 2
    terms = sppo_loss(pair(chosen, rejected), pair(-4.0, -5.0), beta=beta)
    assert terms.loss.item() == pytest.approx(expected, rel=1e-15)
    assert terms.implicit_margin.item() == pytest.approx(beta * (rho_w - rho_l), abs=1e-15)


@pytest.mark.parametrize("beta", [0.001, 0.5])
def test_value_where_policy_equals_reference(beta: float) -> None:
    same = pair(-3.0, -7.0)
    assert sppo_loss(same, same, beta=beta).loss.item() == pytest.approx(0.5 / beta**2, rel=1e-15)


def test_gradient_is_twice_the_distance_to_each_target() -> None:
    policy = pair(-3.0, -7.0, grad=True)
    sppo_loss(policy, pair(-4.0, -5.0), beta=0.1).loss.sum().backward()
    assert policy.chosen.grad.item() == pytest.approx(2 * (1.0 - 5.0), abs=1e-14)
    assert policy.rejected.grad.item() == pytest.approx(2 * (-2.0 + 5.0), abs=1e-14)


def test_is_zero_and_the_margin_one_where_both_targets_are_met() -> None:
    terms = sppo_loss(pair(5.0, -5.0), pair(0.0, 0.0), beta=0.1)
    assert terms.loss.item() == pytest.approx(0, abs=1e-28)
    assert terms.implicit_margin.item() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("beta", [0.05, 1.0])
def test_both_orders_of_a_soft_label_make_the_soft_loss_and_a_constant(p: float, beta: float) -> None:
    """P(y_w) = p and P(y_l) = 1 - p in the paper's loss; the constant is 2 p (1 - p) / beta^2."""
    rho_w, rho_l = 1.0, -2.0
    policy, reference = pair(-3.0, -7.0, grad=True), pair(-4.0, -5.0)
    right, wrong = sppo_loss(policy, reference, beta=beta), sppo_loss(policy.swapped, reference.swapped, beta=beta)
    found = (p * right.loss + (1 - p) * wrong.loss).sum()
    up, down = rho_w - (p - 0.5) / beta, rho_l - (1 - p - 0.5) / beta
    assert found.item() == pytest.approx(up**2 + down**2 + 2 * p * (1 - p) / beta**2, rel=1e-14)
    found.backward()
    assert policy.chosen.grad.item() == pytest.approx(2 * up, abs=1e-13)
    assert policy.rejected.grad.item() == pytest.approx(2 * down, abs=1e-13)


def test_derivative_agrees_with_finite_differences() -> None:
    policy, reference = pair(-3.0, -7.0, grad=True), pair(-4.0, -5.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return sppo_loss(policy._replace(chosen=chosen, rejected=rejected), reference, beta=0.3).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("chosen", "rejected"), [(1e4, -1e4), (-1e4, 1e4)])
def test_extreme_log_ratios_stay_finite(dtype: torch.dtype, chosen: float, rejected: float) -> None:
    policy = pair(chosen, rejected, grad=True, dtype=dtype)
    loss = sppo_loss(policy, pair(0.0, 0.0, dtype=dtype), beta=0.001).loss
    loss.sum().backward()
    assert loss.item() == pytest.approx((chosen - 500) ** 2 + (rejected + 500) ** 2, rel=1e-6)
    assert policy.chosen.grad.item() == pytest.approx(2 * (chosen - 500), rel=1e-6)
    assert policy.rejected.grad.item() == pytest.approx(2 * (rejected + 500), rel=1e-6)


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ConfigError, match=re.escape("algo.beta must lie in (0, inf), got 0.0")):
        SPPOConfig(beta=0.0)
