"""The hinge loss against its closed form and its gradient, in float64."""

from __future__ import annotations

import re

import pytest
import torch
from alignlab.plugins.hinge.config import HingeConfig
from alignlab.plugins.hinge.loss import hinge_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, *, grad: bool = False, dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=grad) for x in (chosen, rejected))
    return PairLogps(*sides, torch.tensor([4.0], dtype=dtype), torch.tensor([9.0], dtype=dtype))


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0), (30.0, -7.0)])
def test_matches_closed_form(beta: float, chosen: float, rejected: float) -> None:
    z = beta * ((chosen - -4.0) - (rejected - -5.0))
    terms = hinge_loss(pair(chosen, rejected), pair(-4.0, -5.0), beta=beta)
    assert terms.loss.item() == pytest.approx(1 - z if z < 1 else 0.0, abs=1e-14)
    assert terms.implicit_margin.item() == pytest.approx(z, abs=1e-14)


@pytest.mark.parametrize("beta", [0.05, 1.0])
def test_is_one_where_policy_equals_reference(beta: float) -> None:
    same = pair(-3.0, -7.0)
    assert hinge_loss(same, same, beta=beta).loss.item() == 1.0


@pytest.mark.parametrize(("margin", "slope"), [(-50.0, 1), (0.0, 1), (19.99, 1), (20.0, 0), (20.01, 0), (500.0, 0)])
def test_gradient_is_all_or_nothing(margin: float, slope: int) -> None:
    """gamma = 0.05 asks for 20 nats; at 20 exactly there is nothing left to push."""
    policy = pair(margin, 0.0, grad=True)
    hinge_loss(policy, pair(0.0, 0.0), beta=0.05).loss.sum().backward()
    assert policy.chosen.grad.item() == -0.05 * slope
    assert policy.rejected.grad.item() == 0.05 * slope


def test_is_the_hinge_over_the_reward_margin_not_over_each_completion() -> None:
    """A constant added to the log-probabilities of both completions, or of both models, changes nothing."""
    moved = hinge_loss(pair(-3.0 + 2, -7.0 + 2), pair(-4.0 - 1, -5.0 - 1), beta=0.1).loss
    torch.testing.assert_close(moved, hinge_loss(pair(-3.0, -7.0), pair(-4.0, -5.0), beta=0.1).loss, rtol=0, atol=1e-15)


@pytest.mark.parametrize("reference", [(-4.0, -5.0), (-40.0, -5.0)])
def test_derivative_agrees_with_finite_differences_on_both_sides_of_the_hinge(reference: tuple[float, float]) -> None:
    policy = pair(-3.0, -7.0, grad=True)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return hinge_loss(policy._replace(chosen=chosen, rejected=rejected), pair(*reference), beta=0.1).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("margin", "loss", "slope"), [(1e4, 0.0, 0.0), (-1e4, 1e4 + 1, -1.0)])
def test_extreme_margins_stay_finite(dtype: torch.dtype, margin: float, loss: float, slope: float) -> None:
    policy = pair(margin, 0.0, grad=True, dtype=dtype)
    found = hinge_loss(policy, pair(0.0, 0.0, dtype=dtype), beta=1.0).loss
    found.sum().backward()
    assert found.item() == loss
    assert policy.chosen.grad.item() == -policy.rejected.grad.item() == slope


@pytest.mark.parametrize("beta", [0.0, -1.0])
def test_settings_out_of_range_are_named(beta: float) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"algo.beta must lie in (0, inf), got {beta}")):
        HingeConfig(beta=beta)
