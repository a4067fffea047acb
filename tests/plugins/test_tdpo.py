"""TDPO against its closed form, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.tdpo.config import TDPOConfig
from alignlab.plugins.tdpo.loss import forward_kl, tdpo_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64
BETA = 0.3
BOTH = pytest.mark.parametrize(("alpha", "constant"), [(0.5, True), (1.0, False)], ids=["tdpo", "tdpo1"])


def pair(chosen: torch.Tensor, rejected: torch.Tensor) -> PairLogps:
    return PairLogps(chosen, rejected, torch.tensor([4.0]), torch.tensor([9.0]))


def loss(sides: list[torch.Tensor], alpha: float, constant: bool) -> torch.Tensor:
    """`sides`: log-ratios of chosen and rejected, KL along chosen and rejected."""
    zero = torch.zeros_like(sides[0])
    settings = dict(beta=BETA, kl_weight=alpha, chosen_kl_constant=constant)
    return tdpo_loss(
        pair(*sides[:2]), pair(zero, zero), chosen_kl=sides[2], rejected_kl=sides[3], **settings
    ).loss.sum()


def numbers(*values: float, dtype: torch.dtype = F64) -> list[torch.Tensor]:
    return [torch.tensor([value], dtype=dtype, requires_grad=True) for value in values]


@BOTH
@pytest.mark.parametrize("values", [(1.0, -2.0, 0.5, 3.0), (-4.0, 0.5, 2.0, 0.1)])
def test_matches_closed_form_and_the_gradient_reaches_what_it_should(
    values: tuple[float, ...], alpha: float, constant: bool
) -> None:
    sides = numbers(*values)
    found = loss(sides, alpha, constant)
    found.backward()
    z = BETA * (values[0] - values[1] - alpha * (values[3] - values[2]))
    assert found.item() == pytest.approx(math.log1p(math.exp(-z)), abs=1e-14)
    slope = BETA / (1 + math.exp(z))
    assert [side.grad.item() for side in sides[:2]] == pytest.approx([-slope, slope], abs=1e-15)
    assert sides[3].grad.item() == pytest.approx(alpha * slope, abs=1e-15)
    assert (sides[2].grad is None) if constant else sides[2].grad.item() == pytest.approx(-alpha * slope, abs=1e-15)


def test_derivative_agrees_with_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda *sides: loss(list(sides), 1.0, False), numbers(1.0, -2.0, 0.5, 3.0))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_extreme_margins_stay_finite(dtype: torch.dtype) -> None:
    for value, expected in ((-1e4, 1e4 * BETA), (1e4, 0.0)):
        sides = numbers(value, 0.0, 0.0, 0.0, dtype=dtype)
        found = loss(sides, 0.5, True)
        found.backward()
        assert found.item() == pytest.approx(expected)
        assert sides[0].grad.item() == pytest.approx(-BETA if expected else 0)


def test_where_the_kl_terms_cancel_the_loss_is_that_of_dpo() -> None:
    for constant in (True, False):
        assert loss(numbers(1.0, -2.0, 0.7, 0.7), 0.5, constant).item() == pytest.approx(
            math.log1p(math.exp(-3 * BETA)), abs=1e-14
        )


def test_kl_is_never_negative_and_zero_where_distributions_agree() -> None:
    torch.manual_seed(0)
    logp, ref = torch.randn(2, 50, 7, dtype=F64).log_softmax(-1)
    assert (forward_kl(logp, ref) > 0).all()
    assert forward_kl(ref, ref).abs().max() == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(kl_weight=-0.1), "algo.kl_weight must lie in [0, inf), got -0.1"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        TDPOConfig(**setting)
