"""RRHF's ranking term against its closed form and its gradient, in float64."""

from __future__ import annotations

import re

import pytest
import torch
from alignlab.plugins.rrhf.config import RRHFConfig
from alignlab.plugins.rrhf.loss import rrhf_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, lengths: tuple[int, int] = (4, 9), dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=True) for x in (chosen, rejected))
    return PairLogps(*sides, *(torch.tensor([float(n)], dtype=dtype) for n in lengths))


@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0), (-2.0, -4.5)])
def test_matches_closed_form(chosen: float, rejected: float) -> None:
    terms = rrhf_loss(pair(chosen, rejected))
    assert terms.loss.item() == pytest.approx(max(0.0, rejected / 9 - chosen / 4), abs=1e-15)
    assert terms.implicit_margin.item() == pytest.approx(chosen / 4 - rejected / 9, abs=1e-15)


@pytest.mark.parametrize(("chosen", "slope"), [(-9.0, 1.0), (-1.0, 0.0)])
def test_only_pairs_in_the_wrong_order_teach(chosen: float, slope: float) -> None:
    policy = pair(chosen, -7.0)
    rrhf_loss(policy).loss.sum().backward()
    assert policy.chosen.grad.item() == pytest.approx(-slope / 4, abs=1e-15)
    assert policy.rejected.grad.item() == pytest.approx(slope / 9, abs=1e-15)


@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_derivative_agrees_with_finite_differences(chosen: float, rejected: float) -> None:
    policy = pair(chosen, rejected)
    assert torch.autograd.gradcheck(
        lambda w, l_: rrhf_loss(policy._replace(chosen=w, rejected=l_)).loss, (policy.chosen, policy.rejected)
    )


def test_is_nothing_where_both_completions_have_the_same_mean() -> None:
    policy = pair(-2.0, -4.5)
    found = rrhf_loss(policy).loss
    found.sum().backward()
    assert (found.item(), policy.chosen.grad.item(), policy.rejected.grad.item()) == (0, 0, 0)


def test_means_that_have_been_taken_are_not_taken_again() -> None:
    policy = pair(-9.0, -2.0)
    torch.testing.assert_close(rrhf_loss(policy).loss, rrhf_loss(policy.averaged).loss, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("chosen", "loss", "slope"), [(-1e4, 1e4, 1.0), (1e4, 0.0, 0.0)])
def test_extreme_margins_stay_finite(dtype: torch.dtype, chosen: float, loss: float, slope: float) -> None:
    policy = pair(chosen, 0.0, (1, 1), dtype)
    found = rrhf_loss(policy).loss
    found.sum().backward()
    assert (found.item(), policy.chosen.grad.item(), policy.rejected.grad.item()) == (loss, -slope, slope)


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ConfigError, match=re.escape("algo.sft_weight must lie in [0, inf), got -1.0")):
        RRHFConfig(sft_weight=-1.0)
