"""DiscoPOP against its closed form and its gradient, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.discopop.config import DiscoPOPConfig
from alignlab.plugins.discopop.loss import discopop_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, *, grad: bool = False, dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=grad) for x in (chosen, rejected))
    return PairLogps(*sides, torch.tensor([4.0], dtype=dtype), torch.tensor([9.0], dtype=dtype))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def slope(z: float, tau: float) -> float:
    """d loss / d z, by the product rule on the formula of the paper."""
    k, dk = sigmoid(z / tau), sigmoid(z / tau) * sigmoid(-z / tau) / tau
    logistic, exponential = math.log(1 + math.exp(-z)), math.exp(-z)
    return dk * (exponential - logistic) - (1 - k) * sigmoid(-z) - k * exponential


def found(lead: float, *, beta: float = 0.05, temperature: float = 0.05, dtype: torch.dtype = F64) -> list[float]:
    """Loss, and its gradient with respect to the log-probability of chosen, where chosen leads by so many nats."""
    policy = pair(lead, 0.0, grad=True, dtype=dtype)
    loss = discopop_loss(policy, pair(0.0, 0.0, dtype=dtype), beta=beta, temperature=temperature).loss
    loss.sum().backward()
    assert policy.chosen.grad is not None
    assert policy.rejected.grad is not None
    assert policy.chosen.grad.item() == -policy.rejected.grad.item()
    return [loss.item(), policy.chosen.grad.item()]


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("tau", [0.05, 0.3, 1.0])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_closed_form(beta: float, tau: float, chosen: float, rejected: float) -> None:
    z = beta * ((chosen + 4.0) - (rejected + 5.0))
    k = sigmoid(z / tau)
    expected = (1 - k) * math.log(1 + math.exp(-z)) + k * math.exp(-z)
    terms = discopop_loss(pair(chosen, rejected), pair(-4.0, -5.0), beta=beta, temperature=tau)
    assert terms.loss.item() == pytest.approx(expected, rel=1e-13)
    assert terms.implicit_margin.item() == pytest.approx(z, abs=1e-14)


def test_value_where_policy_equals_reference() -> None:
    assert found(0.0)[0] == pytest.approx(0.5 * (math.log(2) + 1), abs=1e-15)


@pytest.mark.parametrize("tau", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("z", [-1.0, -0.1, 0.0, 0.1, 2.0])
def test_gradient_matches_closed_form(tau: float, z: float) -> None:
    assert found(z / 0.2, beta=0.2, temperature=tau)[1] == pytest.approx(0.2 * slope(z, tau), abs=1e-13)


def test_falls_with_a_falling_margin_at_the_reference() -> None:
    """The slope there is 0.25 (1 - log 2) / tau - 0.75 a unit of margin: positive at the paper's temperature."""
    assert found(0.0)[1] == pytest.approx(0.05 * (5 * (1 - math.log(2)) - 0.75), abs=1e-15)
    assert found(0.0)[1] > 0 > found(0.0, temperature=0.11)[1]


@pytest.mark.parametrize(("lead", "value", "sign"), [(-2.3714, 0.785924, 1), (1.44012, 0.878290, -1)])
def test_local_minimum_below_and_maximum_above_the_reference(lead: float, value: float, sign: int) -> None:
    assert found(lead)[0] == pytest.approx(value, abs=1e-6)
    assert sign * found(lead - 0.05)[1] < 0 < sign * found(lead + 0.05)[1]


def test_falls_everywhere_at_a_higher_temperature() -> None:
    assert all(found(z, beta=1.0, temperature=0.11)[1] < 0 for z in torch.linspace(-3, 3, 301).tolist())


def test_derivative_agrees_with_finite_differences() -> None:
    policy, reference = pair(-3.0, -7.0, grad=True), pair(-4.0, -5.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        moved = policy._replace(chosen=chosen, rejected=rejected)
        return discopop_loss(moved, reference, beta=0.1, temperature=0.1).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("tau", [0.01, 0.05, 0.999])
@pytest.mark.parametrize(("lead", "loss", "gradient"), [(-1e4, 1e4, -1.0), (-1e5, 1e5, -1.0), (1e4, 0.0, 0.0)])
def test_extreme_margins_are_exact(dtype: torch.dtype, tau: float, lead: float, loss: float, gradient: float) -> None:
    """exp(-z) alone would overflow, and times k = 0 be no number."""
    assert found(lead, beta=1.0, temperature=tau, dtype=dtype) == pytest.approx([loss, gradient], rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_temperature_of_one_is_the_logistic_loss_and_sigmoid(dtype: torch.dtype) -> None:
    """sigmoid(z) exp(-z) = sigmoid(-z), which is 1 and not 0 where exp(-z) overflows."""
    assert found(-1e4, beta=1.0, temperature=1.0, dtype=dtype) == pytest.approx([1e4 + 1, -1.0])
    expected = sigmoid(-0.7) * (1 + math.log(1 + math.exp(-0.7)))
    assert found(0.7, beta=1.0, temperature=1.0)[0] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(temperature=0.0), "algo.temperature must lie in (0, 1], got 0.0"),
        (dict(temperature=1.5), "algo.temperature must lie in (0, 1], got 1.5"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        DiscoPOPConfig(**setting)
