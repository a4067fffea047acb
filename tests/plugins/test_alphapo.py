"""AlphaPO against its closed form and its gradient, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.alphapo.config import AlphaPOConfig
from alignlab.plugins.alphapo.loss import alphapo_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, lengths: tuple[int, int] = (4, 9), dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=True) for x in (chosen, rejected))
    return PairLogps(*sides, *(torch.tensor([float(n)], dtype=dtype) for n in lengths))


def of(policy: PairLogps, alpha: float, beta: float = 2.0, target_margin: float = 0.5) -> torch.Tensor:
    return alphapo_loss(policy, beta=beta, target_margin=target_margin, alpha=alpha).loss


@pytest.mark.parametrize("alpha", [-0.5, 0.1, 0.25, 2.0])
@pytest.mark.parametrize(("beta", "gamma"), [(2.5, 0.25), (0.5, 0.0)])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_closed_form(alpha: float, beta: float, gamma: float, chosen: float, rejected: float) -> None:
    better, worse = math.exp(chosen / 4), math.exp(rejected / 9)
    z = beta / alpha * (worse**-alpha - better**-alpha)
    terms = alphapo_loss(pair(chosen, rejected), beta=beta, target_margin=gamma, alpha=alpha)
    assert terms.loss.item() == pytest.approx(math.log1p(math.exp(gamma - z)), abs=1e-12)
    assert terms.implicit_margin.item() == pytest.approx(z, abs=1e-12)


@pytest.mark.parametrize("alpha", [-0.5, 0.25])
def test_gradient_is_that_of_the_logarithm_times_a_power_of_the_probability(alpha: float) -> None:
    policy = pair(-3.0, -7.0)
    of(policy, alpha).sum().backward()
    better, worse = math.exp(-3 / 4) ** -alpha, math.exp(-7 / 9) ** -alpha
    weight = 2.0 / (1 + math.exp(2.0 / alpha * (worse - better) - 0.5))
    assert policy.chosen.grad.item() == pytest.approx(-weight * better / 4, abs=1e-14)
    assert policy.rejected.grad.item() == pytest.approx(weight * worse / 9, abs=1e-14)


@pytest.mark.parametrize("alpha", [-0.5, 0.0, 0.25])
def test_derivative_agrees_with_finite_differences(alpha: float) -> None:
    policy = pair(-3.0, -7.0)
    assert torch.autograd.gradcheck(
        lambda w, l_: of(policy._replace(chosen=w, rejected=l_), alpha), (policy.chosen, policy.rejected)
    )


@pytest.mark.parametrize("alpha", [0.0, 1e-9, -1e-9])
def test_is_simpo_where_alpha_vanishes(alpha: float) -> None:
    z = 2.0 * (-3 / 4 + 7 / 9)
    assert of(pair(-3.0, -7.0), alpha).item() == pytest.approx(math.log1p(math.exp(0.5 - z)), abs=1e-8)


@pytest.mark.parametrize("alpha", [-0.5, 0.0, 0.25])
def test_starts_from_the_margin_where_both_completions_have_the_same_mean(alpha: float) -> None:
    assert of(pair(-2.0, -4.5), alpha).item() == pytest.approx(math.log1p(math.exp(0.5)), abs=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("alpha", [-0.5, 0.25])
@pytest.mark.parametrize(("chosen", "rejected"), [(-1e4, 0.0), (0.0, -1e4), (-1e4, -1e4)])
def test_extreme_margins_stay_finite(dtype: torch.dtype, alpha: float, chosen: float, rejected: float) -> None:
    policy = pair(chosen, rejected, (1, 1), dtype)
    found = of(policy, alpha, target_margin=0.0)
    found.sum().backward()
    for value in (found, policy.chosen.grad**2, policy.rejected.grad**2):
        assert torch.isfinite(value).all()
    assert (found > math.log(2)) == (chosen < rejected)


@pytest.mark.parametrize("chosen", [-5.0, -130.0])
def test_clamp_is_out_of_reach_of_mean_log_probabilities(chosen: float) -> None:
    found = of(pair(chosen, -1.0, (1, 1), torch.float32), 0.25).item()
    exact = 0.5 + 8 * (math.exp(-chosen / 4) - math.exp(1 / 4))
    assert found == pytest.approx(exact + math.log1p(math.exp(-exact)), rel=1e-5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(target_margin=-0.1), "algo.target_margin must lie in [0, inf), got -0.1"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        AlphaPOConfig(**setting)
