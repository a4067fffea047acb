"""CPO's contrastive term against its closed form and its gradient, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.cpo.config import CPOConfig
from alignlab.plugins.cpo.loss import cpo_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, lengths: tuple[int, int] = (4, 9), dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=True) for x in (chosen, rejected))
    return PairLogps(*sides, *(torch.tensor([float(n)], dtype=dtype) for n in lengths))


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0), (-5.0, -5.0)])
def test_matches_closed_form(beta: float, chosen: float, rejected: float) -> None:
    z = beta * (chosen - rejected)
    terms = cpo_loss(pair(chosen, rejected), beta=beta)
    assert terms.loss.item() == pytest.approx(math.log1p(math.exp(-z)), abs=1e-14)
    assert terms.implicit_margin.item() == pytest.approx(z, abs=1e-14)


def test_gradient_weighs_pairs_by_how_wrong_they_are() -> None:
    policy = pair(-3.0, -7.0)
    cpo_loss(policy, beta=0.5).loss.sum().backward()
    expected = -0.5 / (1 + math.exp(2.0))
    assert policy.chosen.grad.item() == -policy.rejected.grad.item() == pytest.approx(expected, abs=1e-15)


def test_derivative_agrees_with_finite_differences() -> None:
    policy = pair(-3.0, -7.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return cpo_loss(policy._replace(chosen=chosen, rejected=rejected), beta=0.3).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


def test_is_dpo_with_a_uniform_reference() -> None:
    """A reference that gives both completions the same log-probability drops out."""
    beta, uniform = 0.3, -11.0
    z = beta * ((-3.0 - uniform) - (-7.0 - uniform))
    assert cpo_loss(pair(-3.0, -7.0), beta=beta).loss.item() == pytest.approx(math.log1p(math.exp(-z)), abs=1e-14)


def test_lengths_play_no_part() -> None:
    longer = pair(-3.0, -7.0, (400, 9))
    assert torch.equal(cpo_loss(longer, beta=0.1).loss, cpo_loss(pair(-3.0, -7.0), beta=0.1).loss)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("chosen", "loss", "slope"), [(-1e4, 1e3, -0.1), (1e4, 0.0, 0.0)])
def test_extreme_margins_stay_finite(dtype: torch.dtype, chosen: float, loss: float, slope: float) -> None:
    policy = pair(chosen, 0.0, dtype=dtype)
    terms = cpo_loss(policy, beta=0.1)
    terms.loss.sum().backward()
    assert terms.loss.item() == pytest.approx(loss)
    assert policy.chosen.grad.item() == -policy.rejected.grad.item() == pytest.approx(slope)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(sft_weight=-1.0), "algo.sft_weight must lie in [0, inf), got -1.0"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        CPOConfig(**setting)
