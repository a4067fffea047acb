"""SimPO against its closed form and its gradient, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.simpo.config import SimPOConfig
from alignlab.plugins.simpo.loss import simpo_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, lengths: tuple[int, int] = (4, 9), dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=True) for x in (chosen, rejected))
    return PairLogps(*sides, *(torch.tensor([float(n)], dtype=dtype) for n in lengths))


@pytest.mark.parametrize("beta", [0.1, 2.0, 10.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.6])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_closed_form(beta: float, gamma: float, chosen: float, rejected: float) -> None:
    z = beta * (chosen / 4 - rejected / 9)
    terms = simpo_loss(pair(chosen, rejected), beta=beta, target_margin=gamma)
    assert terms.loss.item() == pytest.approx(math.log1p(math.exp(gamma - z)), abs=1e-14)
    assert terms.implicit_margin.item() == pytest.approx(z, abs=1e-14)


def test_gradient_is_shared_out_over_tokens() -> None:
    """d loss / d log pi(y_w) = -beta / |y_w| sigmoid(gamma - z), and the opposite for y_l with its own length."""
    policy = pair(-3.0, -7.0)
    simpo_loss(policy, beta=2.0, target_margin=0.5).loss.sum().backward()
    weight = 2.0 / (1 + math.exp(2.0 * (-3 / 4 + 7 / 9) - 0.5))
    assert policy.chosen.grad.item() == pytest.approx(-weight / 4, abs=1e-15)
    assert policy.rejected.grad.item() == pytest.approx(weight / 9, abs=1e-15)


def test_derivative_agrees_with_finite_differences() -> None:
    policy = pair(-3.0, -7.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return simpo_loss(policy._replace(chosen=chosen, rejected=rejected), beta=2.0, target_margin=0.7).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


def test_starts_from_the_margin_where_both_completions_have_the_same_mean() -> None:
    terms = simpo_loss(pair(-2.0, -4.5), beta=2.0, target_margin=1.0)
    assert terms.loss.item() == pytest.approx(math.log(1 + math.e), abs=1e-15)


def test_loss_is_log_two_where_the_margin_is_met_exactly() -> None:
    assert simpo_loss(pair(-1.0, -4.5), beta=2.0, target_margin=0.5).loss.item() == pytest.approx(
        math.log(2), abs=1e-15
    )


def test_means_that_have_been_taken_are_not_taken_again() -> None:
    policy = pair(-3.0, -7.0)
    once, twice = (simpo_loss(each, beta=2.0, target_margin=0.5).loss for each in (policy, policy.averaged))
    torch.testing.assert_close(once, twice, rtol=0, atol=0)


def test_repeating_a_completion_changes_nothing() -> None:
    double = pair(-6.0, -7.0, (8, 9))
    found = simpo_loss(double, beta=2.0, target_margin=0.5).loss.item()
    assert found == simpo_loss(pair(-3.0, -7.0), beta=2.0, target_margin=0.5).loss.item()


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("chosen", "loss", "slope"), [(-1e4, 2e4 + 1, -2.0), (1e4, 0.0, 0.0)])
def test_extreme_margins_stay_finite(dtype: torch.dtype, chosen: float, loss: float, slope: float) -> None:
    policy = pair(chosen, 0.0, (1, 1), dtype)
    terms = simpo_loss(policy, beta=2.0, target_margin=1.0)
    terms.loss.sum().backward()
    assert terms.loss.item() == pytest.approx(loss)
    assert policy.chosen.grad.item() == -policy.rejected.grad.item() == pytest.approx(slope)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(target_margin=-0.1), "algo.target_margin must lie in [0, inf), got -0.1"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        SimPOConfig(**setting)
