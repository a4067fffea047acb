"""DPOP against its closed form and its gradient, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.dpop.config import DPOPConfig
from alignlab.plugins.dpop.loss import dpop_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, *, grad: bool = False, dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=grad) for x in (chosen, rejected))
    return PairLogps(*sides, torch.tensor([4.0], dtype=dtype), torch.tensor([9.0], dtype=dtype))


@pytest.mark.parametrize("beta", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("lam", [0.0, 1.0, 50.0])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-4.5, -5.0), (-4.2, -9.0)])
def test_matches_closed_form(beta: float, lam: float, chosen: float, rejected: float) -> None:
    rho_w, rho_l = chosen + 4.0, rejected + 5.0
    z = beta * (rho_w - rho_l - lam * max(0.0, -4.0 - chosen))
    terms = dpop_loss(pair(chosen, rejected), pair(-4.0, -5.0), beta=beta, penalty=lam)
    assert terms.loss.item() == pytest.approx(math.log(1 + math.exp(-z)), rel=1e-13)
    assert terms.implicit_margin.item() == pytest.approx(beta * (rho_w - rho_l), abs=1e-14)


def test_value_and_gradient_where_policy_equals_reference_are_those_of_dpo() -> None:
    policy = pair(-3.0, -7.0, grad=True)
    loss = dpop_loss(policy, pair(-3.0, -7.0), beta=0.3, penalty=50.0).loss
    loss.sum().backward()
    assert loss.item() == pytest.approx(math.log(2), abs=1e-15)
    assert policy.chosen.grad.item() == pytest.approx(-0.15, abs=1e-15)
    assert policy.rejected.grad.item() == pytest.approx(0.15, abs=1e-15)


def test_chosen_weighs_more_by_the_penalty_once_it_has_lost() -> None:
    beta, lam = 0.3, 5.0
    policy = pair(-4.1, -6.0, grad=True)
    dpop_loss(policy, pair(-4.0, -5.0), beta=beta, penalty=lam).loss.sum().backward()
    z = beta * (-0.1 + 1.0 - lam * 0.1)
    weight = beta / (1 + math.exp(z))
    assert policy.chosen.grad.item() == pytest.approx(-(1 + lam) * weight, abs=1e-14)
    assert policy.rejected.grad.item() == pytest.approx(weight, abs=1e-14)


def test_a_lead_won_by_losing_both_is_no_gain() -> None:
    """The failure of DPO: chosen falls by 1 nat, rejected by 9; the loss must rise all the same."""
    reference = pair(-4.0, -5.0)
    start = dpop_loss(reference, reference, beta=0.3, penalty=50.0).loss
    fallen = dpop_loss(pair(-5.0, -14.0), reference, beta=0.3, penalty=50.0).loss
    assert fallen.item() == pytest.approx(math.log(1 + math.exp(-0.3 * (8 - 50))), rel=1e-13)
    assert fallen > start


@pytest.mark.parametrize("lam", [0.0, 7.0, 50.0])
def test_where_chosen_has_gained_the_penalty_plays_no_part(lam: float) -> None:
    policy = pair(-3.0, -7.0, grad=True)
    loss = dpop_loss(policy, pair(-4.0, -5.0), beta=0.5, penalty=lam).loss
    loss.sum().backward()
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1.5)), abs=1e-15)
    assert policy.chosen.grad.item() == pytest.approx(-0.5 / (1 + math.exp(1.5)), abs=1e-15)


@pytest.mark.parametrize("chosen", [-3.0, -4.5])
def test_derivative_agrees_with_finite_differences(chosen: float) -> None:
    policy, reference = pair(chosen, -7.0, grad=True), pair(-4.0, -5.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return dpop_loss(policy._replace(chosen=chosen, rejected=rejected), reference, beta=0.3, penalty=2.0).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(
    ("chosen", "rejected", "loss", "slopes"),
    [(1e4, -1e4, 0.0, (0.0, 0.0)), (-1e4, 1e4, 5.2e5, (-51.0, 1.0)), (-1e4, -1e4, 5e5, (-51.0, 1.0))],
)
def test_extreme_log_ratios_stay_finite(
    dtype: torch.dtype, chosen: float, rejected: float, loss: float, slopes: tuple[float, float]
) -> None:
    policy = pair(chosen, rejected, grad=True, dtype=dtype)
    found = dpop_loss(policy, pair(0.0, 0.0, dtype=dtype), beta=1.0, penalty=50.0).loss
    found.sum().backward()
    assert found.item() == pytest.approx(loss)
    assert (policy.chosen.grad.item(), policy.rejected.grad.item()) == pytest.approx(slopes)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(penalty=-1.0), "algo.penalty must lie in [0, inf), got -1.0"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        DPOPConfig(**setting)
