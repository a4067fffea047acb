"""NCA against its closed form and its gradient, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.nca.config import NCAConfig
from alignlab.plugins.nca.loss import nca_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64
LABELS = [(-3.0, -7.0), (-9.0, -2.0)]


def pair(chosen: float, rejected: float, *, grad: bool = False, dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=grad) for x in (chosen, rejected))
    return PairLogps(*sides, torch.tensor([4.0], dtype=dtype), torch.tensor([9.0], dtype=dtype))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
@pytest.mark.parametrize(("chosen", "rejected"), LABELS)
def test_matches_closed_form(beta: float, chosen: float, rejected: float) -> None:
    r_w, r_l = beta * (chosen + 4.0), beta * (rejected + 5.0)
    expected = -math.log(sigmoid(r_w)) - 0.5 * math.log(sigmoid(-r_w)) - 0.5 * math.log(sigmoid(-r_l))
    terms = nca_loss(pair(chosen, rejected), pair(-4.0, -5.0), beta=beta)
    assert terms.loss.item() == pytest.approx(expected, abs=1e-14)
    assert terms.implicit_margin.item() == pytest.approx(r_w - r_l, abs=1e-14)


def test_is_two_log_two_where_policy_equals_reference() -> None:
    same = pair(-3.0, -7.0)
    assert nca_loss(same, same, beta=0.1).loss.item() == pytest.approx(2 * math.log(2), abs=1e-15)


@pytest.mark.parametrize(("r_w", "r_l"), [(0.0, 0.0), (0.4, -1.0), (1.5, 2.0)])
def test_gradients_of_the_two_completions_do_not_interact(r_w: float, r_l: float) -> None:
    beta = 0.5
    policy = pair(r_w / beta, r_l / beta, grad=True)
    nca_loss(policy, pair(0.0, 0.0), beta=beta).loss.sum().backward()
    assert policy.chosen.grad.item() == pytest.approx(beta * (1.5 * sigmoid(r_w) - 1), abs=1e-15)
    assert policy.rejected.grad.item() == pytest.approx(beta * 0.5 * sigmoid(r_l), abs=1e-15)


def test_chosen_rises_to_log_two_and_is_pulled_back_beyond() -> None:
    for shift, sign in ((-0.3, -1), (0.0, 0), (0.3, 1)):
        policy = pair(math.log(2) + shift, 0.0, grad=True)
        nca_loss(policy, pair(0.0, 0.0), beta=1.0).loss.sum().backward()
        gradient = policy.chosen.grad.item()
        assert abs(gradient) < 1e-15 if sign == 0 else gradient * sign > 0


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize(("chosen", "rejected"), LABELS)
def test_both_orders_of_a_soft_label_make_the_loss_over_two_weighted_completions(
    p: float, chosen: float, rejected: float
) -> None:
    """The paper's loss over K completions: - sum_i [w_i log sigmoid(r_i) + 1/K log sigmoid(-r_i)]."""
    policy, reference = pair(chosen, rejected), pair(-4.0, -5.0)
    right, wrong = nca_loss(policy, reference, beta=0.3), nca_loss(policy.swapped, reference.swapped, beta=0.3)
    rewards = (0.3 * (chosen + 4.0), 0.3 * (rejected + 5.0))
    expected = -sum(
        w * math.log(sigmoid(r)) + 0.5 * math.log(sigmoid(-r)) for w, r in zip((p, 1 - p), rewards, strict=True)
    )
    assert (p * right.loss + (1 - p) * wrong.loss).item() == pytest.approx(expected, abs=1e-14)


def test_derivative_agrees_with_finite_differences() -> None:
    policy, reference = pair(-3.0, -7.0, grad=True), pair(-4.0, -5.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return nca_loss(policy._replace(chosen=chosen, rejected=rejected), reference, beta=0.3).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(
    ("chosen", "rejected", "loss", "slopes"),
    [(1e4, -1e4, 5e3, (0.5, 0.0)), (-1e4, 1e4, 1.5e4, (-1.0, 0.5)), (1e4, 1e4, 1e4, (0.5, 0.5))],
)
def test_extreme_log_ratios_stay_finite(
    dtype: torch.dtype, chosen: float, rejected: float, loss: float, slopes: tuple[float, float]
) -> None:
    policy = pair(chosen, rejected, grad=True, dtype=dtype)
    found = nca_loss(policy, pair(0.0, 0.0, dtype=dtype), beta=1.0).loss
    found.sum().backward()
    assert found.item() == pytest.approx(loss)
    assert (policy.chosen.grad.item(), policy.rejected.grad.item()) == pytest.approx(slopes)


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ConfigError, match=re.escape("algo.beta must lie in (0, inf), got 0.0")):
        NCAConfig(beta=0.0)
