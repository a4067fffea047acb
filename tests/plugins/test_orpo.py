"""ORPO's odds ratio term against its closed form and its gradient, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.orpo.config import ORPOConfig
from alignlab.plugins.orpo.loss import log_odds, orpo_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, lengths: tuple[int, int] = (4, 9), dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=True) for x in (chosen, rejected))
    return PairLogps(*sides, *(torch.tensor([float(n)], dtype=dtype) for n in lengths))


def log_odds_of(logp: float) -> float:
    p = math.exp(logp)
    return math.log(p / (1 - p))


@pytest.mark.parametrize("weight", [0.1, 1.0])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_closed_form(weight: float, chosen: float, rejected: float) -> None:
    z = log_odds_of(chosen / 4) - log_odds_of(rejected / 9)
    terms = orpo_loss(pair(chosen, rejected), odds_weight=weight)
    assert terms.loss.item() == pytest.approx(weight * math.log1p(math.exp(-z)), abs=1e-14)
    assert terms.implicit_margin.item() == pytest.approx(z, abs=1e-14)


def test_gradient_weighs_certain_completions_most() -> None:
    """d log odds / d log p = 1 / (1 - p), times the chain over |y| tokens and the weight of a wrong pair."""
    policy = pair(-3.0, -7.0)
    orpo_loss(policy, odds_weight=0.3).loss.sum().backward()
    wrong = 0.3 / (1 + math.exp(log_odds_of(-3 / 4) - log_odds_of(-7 / 9)))
    assert policy.chosen.grad.item() == pytest.approx(-wrong / (1 - math.exp(-3 / 4)) / 4, abs=1e-15)
    assert policy.rejected.grad.item() == pytest.approx(wrong / (1 - math.exp(-7 / 9)) / 9, abs=1e-15)


def test_derivative_agrees_with_finite_differences() -> None:
    policy = pair(-3.0, -7.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return orpo_loss(policy._replace(chosen=chosen, rejected=rejected), odds_weight=0.3).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


def test_is_weighted_log_two_where_both_completions_have_the_same_mean() -> None:
    assert orpo_loss(pair(-2.0, -4.5), odds_weight=0.1).loss.item() == pytest.approx(0.1 * math.log(2), abs=1e-15)


def test_contrasts_mean_log_probabilities_where_tokens_are_unlikely() -> None:
    """1 - p is then 1, and odds are probabilities."""
    z = -200 / 4 + 540 / 9
    found = orpo_loss(pair(-200.0, -540.0), odds_weight=1.0).loss.item()
    assert found == pytest.approx(math.log1p(math.exp(-z)), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("p", [1e-6, 1e-3, 0.3, 0.5, 0.9, 0.999])
def test_log_odds_keep_their_digits(dtype: torch.dtype, p: float) -> None:
    """Towards either end, given log p as the dtype holds it."""
    logp = torch.tensor([math.log(p), math.log1p(-p)], dtype=dtype)
    expected = [x - math.log(-math.expm1(x)) for x in logp.tolist()]
    assert log_odds(logp).tolist() == pytest.approx(
        expected, rel=4 * torch.finfo(dtype).eps, abs=1e-6 if dtype != F64 else 1e-15
    )


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("chosen", [0.0, 1e-9, -1e4])
@pytest.mark.parametrize("rejected", [0.0, -1e-9, -1e4])
def test_certain_and_impossible_completions_stay_finite(dtype: torch.dtype, chosen: float, rejected: float) -> None:
    policy = pair(chosen, rejected, (1, 1), dtype)
    terms = orpo_loss(policy, odds_weight=0.1)
    terms.loss.sum().backward()
    assert all(torch.isfinite(x).all() for x in (*terms, policy.chosen.grad, policy.rejected.grad))
    if abs(chosen - rejected) > 1:
        assert (terms.implicit_margin > 0) == (chosen > rejected)
        assert terms.loss.item() == pytest.approx(0.0 if chosen > rejected else 1e3, abs=5)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_settings_out_of_range_are_named(value: float) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"algo.odds_weight must lie in (0, inf), got {value}")):
        ORPOConfig(odds_weight=value)
