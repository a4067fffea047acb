"""EXO against its closed form and its gradient, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.exo.config import EXOConfig
from alignlab.plugins.exo.loss import exo_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, *, grad: bool = False, dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=grad) for x in (chosen, rejected))
    return PairLogps(*sides, torch.tensor([4.0], dtype=dtype), torch.tensor([9.0], dtype=dtype))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("eps", [1e-3, 0.1, 0.4])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_is_the_kl_from_the_choice_to_the_label(beta: float, eps: float, chosen: float, rejected: float) -> None:
    z = beta * ((chosen - -4.0) - (rejected - -5.0))
    q = sigmoid(z)
    expected = q * math.log(q / (1 - eps)) + (1 - q) * math.log((1 - q) / eps)
    terms = exo_loss(pair(chosen, rejected), pair(-4.0, -5.0), beta=beta, label_smoothing=eps)
    assert terms.loss.item() == pytest.approx(expected, abs=1e-13)
    assert terms.implicit_margin.item() == pytest.approx(z, abs=1e-14)


@pytest.mark.parametrize("eps", [1e-3, 0.2])
def test_value_where_policy_equals_reference(eps: float) -> None:
    same = pair(-3.0, -7.0)
    found = exo_loss(same, same, beta=0.1, label_smoothing=eps).loss.item()
    assert found == pytest.approx(0.5 * math.log(0.25 / (eps * (1 - eps))), abs=1e-14)


@pytest.mark.parametrize("lead", [-3.0, 0.0, 2.0, 5.0])
def test_gradient_is_the_distance_to_the_target_margin_weighted_by_doubt(lead: float) -> None:
    """dL/dz = q (1 - q) [z - log((1 - eps) / eps)]."""
    beta, eps = 0.5, 0.1
    policy = pair(-3.0 + lead, -3.0, grad=True)
    exo_loss(policy, pair(-3.0, -3.0), beta=beta, label_smoothing=eps).loss.sum().backward()
    z = beta * lead
    expected = beta * sigmoid(z) * sigmoid(-z) * (z - math.log((1 - eps) / eps))
    assert policy.chosen.grad.item() == pytest.approx(expected, abs=1e-14)
    assert policy.rejected.grad.item() == pytest.approx(-expected, abs=1e-14)


@pytest.mark.parametrize("eps", [0.01, 0.3])
def test_is_zero_and_flat_where_the_choice_is_the_label(eps: float) -> None:
    lead = math.log((1 - eps) / eps)
    policy = pair(lead, 0.0, grad=True)
    loss = exo_loss(policy, pair(0.0, 0.0), beta=1.0, label_smoothing=eps).loss
    loss.sum().backward()
    assert loss.item() == pytest.approx(0, abs=1e-14)
    assert policy.chosen.grad.item() == pytest.approx(0, abs=1e-14)


def test_is_the_cross_entropy_of_dpo_with_its_sides_exchanged() -> None:
    """KL(p || q) = H(p, q) - H(p) and KL(q || p): equal where q and p are mirror images of each other."""
    eps, z = 0.2, -math.log(0.8 / 0.2)
    conservative = (1 - eps) * math.log(1 + math.exp(-z)) + eps * math.log(1 + math.exp(z))
    entropy = -(1 - eps) * math.log(1 - eps) - eps * math.log(eps)
    found = exo_loss(pair(z, 0.0), pair(0.0, 0.0), beta=1.0, label_smoothing=eps).loss.item()
    assert found == pytest.approx(conservative - entropy, abs=1e-14)


def test_derivative_agrees_with_finite_differences() -> None:
    policy, reference = pair(-3.0, -7.0, grad=True), pair(-4.0, -5.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        moved = policy._replace(chosen=chosen, rejected=rejected)
        return exo_loss(moved, reference, beta=0.3, label_smoothing=0.05).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("lead", "share"), [(-1e4, 1e-3), (1e4, 1 - 1e-3)])
def test_extreme_margins_reach_the_bounds_with_no_gradient(dtype: torch.dtype, lead: float, share: float) -> None:
    policy = pair(lead, 0.0, grad=True, dtype=dtype)
    loss = exo_loss(policy, pair(0.0, 0.0, dtype=dtype), beta=1.0, label_smoothing=1e-3).loss
    loss.sum().backward()
    assert loss.item() == pytest.approx(-math.log(share), rel=1e-5)
    assert policy.chosen.grad.item() == policy.rejected.grad.item() == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(label_smoothing=0.0), "algo.label_smoothing must lie in (0, 0.5), got 0.0"),
        (dict(label_smoothing=0.5), "algo.label_smoothing must lie in (0, 0.5), got 0.5"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        EXOConfig(**setting)
