"""SPIN against its closed form, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.spin.config import SPINConfig
from alignlab.plugins.spin.loss import spin_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64
BETA = 0.3


def pair(chosen: float, rejected: float, dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=True) for x in (chosen, rejected))
    return PairLogps(*sides, torch.ones(1), torch.ones(1))


@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_closed_form_and_its_gradient(chosen: float, rejected: float) -> None:
    policy = pair(chosen, rejected)
    found = spin_loss(policy, pair(-4.0, -5.0), beta=BETA)
    found.loss.sum().backward()
    z = BETA * (chosen + 4.0 - (rejected + 5.0))
    assert found.loss.item() == pytest.approx(math.log1p(math.exp(-z)), abs=1e-14)
    assert found.implicit_margin.item() == pytest.approx(z, abs=1e-14)
    slope = BETA / (1 + math.exp(z))
    assert [policy.chosen.grad.item(), policy.rejected.grad.item()] == pytest.approx([-slope, slope], abs=1e-15)


def test_derivative_agrees_with_finite_differences() -> None:
    policy, reference = pair(-3.0, -7.0), pair(-4.0, -5.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return spin_loss(policy._replace(chosen=chosen, rejected=rejected), reference, beta=BETA).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_extreme_margins_stay_finite(dtype: torch.dtype) -> None:
    for value, expected in ((-1e4, 1e4 * BETA), (1e4, 0.0)):
        policy = pair(value, 0.0, dtype)
        found = spin_loss(policy, pair(0.0, 0.0, dtype), beta=BETA).loss
        found.sum().backward()
        assert found.item() == pytest.approx(expected)
        assert policy.chosen.grad.item() == pytest.approx(-BETA if expected else 0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(reference_every=-1), "algo.reference_every must lie in [0, inf), got -1"),
        (dict(reference_mix=0.0), "algo.reference_mix must lie in (0, 1], got 0.0"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        SPINConfig(**setting)
