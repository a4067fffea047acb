"""f-DPO against closed forms written in probability ratios, and its gradients, in float64."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch
from alignlab.plugins.f_dpo.config import DIVERGENCES, FDPOConfig
from alignlab.plugins.f_dpo.loss import f_dpo_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, lengths: tuple[int, int] = (4, 9), dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=True) for x in (chosen, rejected))
    return PairLogps(*sides, *(torch.tensor([float(n)], dtype=dtype) for n in lengths))


ALPHA = 0.3
GENERATORS: dict[str, Callable[[float], float]] = {
    "reverse_kl": lambda u: u * math.log(u),
    "forward_kl": lambda u: -math.log(u),
    "jensen_shannon": lambda u: u * math.log(u) - (u + 1) * math.log((u + 1) / 2),
    "alpha": lambda u: (u ** (1 - ALPHA) - (1 - ALPHA) * u - ALPHA) / (ALPHA * (ALPHA - 1)),
}
SLOPES: dict[str, Callable[[float], float]] = {
    "reverse_kl": lambda u: math.log(u) + 1,
    "forward_kl": lambda u: -1 / u,
    "jensen_shannon": lambda u: math.log(2 * u / (1 + u)),
    "alpha": lambda u: (1 - u**-ALPHA) / ALPHA,
}
each_divergence = pytest.mark.parametrize("divergence", DIVERGENCES)
REFERENCE = (-4.0, -5.0)


def of(policy: PairLogps, divergence: str, beta: float = 0.5, alpha: float = ALPHA) -> torch.Tensor:
    dtype = policy.chosen.dtype
    return f_dpo_loss(policy, pair(*REFERENCE, dtype=dtype), beta=beta, divergence=divergence, alpha=alpha).loss


@each_divergence
@pytest.mark.parametrize("u", [0.1, 0.9, 3.0])
def test_slopes_below_are_those_of_convex_generators(divergence: str, u: float) -> None:
    f, step = GENERATORS[divergence], 1e-5
    assert (f(u + step) - f(u - step)) / (2 * step) == pytest.approx(SLOPES[divergence](u), abs=1e-6)
    assert f(1.0) == pytest.approx(0, abs=1e-15)


@each_divergence
@pytest.mark.parametrize("beta", [0.1, 1.0])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_closed_form(divergence: str, beta: float, chosen: float, rejected: float) -> None:
    slope = SLOPES[divergence]
    z = beta * (slope(math.exp(chosen + 4.0)) - slope(math.exp(rejected + 5.0)))
    found = of(pair(chosen, rejected), divergence, beta).item()
    assert found == pytest.approx(max(-z, 0) + math.log1p(math.exp(-abs(z))), rel=1e-13)


@pytest.mark.parametrize(
    ("divergence", "bend"),
    [
        ("reverse_kl", lambda u: 1),
        ("forward_kl", lambda u: 1 / u),
        ("jensen_shannon", lambda u: 1 / (1 + u)),
        ("alpha", lambda u: u**-ALPHA),
    ],
)
def test_gradient_is_that_of_dpo_times_u_times_the_second_derivative(
    divergence: str, bend: Callable[[float], float]
) -> None:
    policy = pair(-3.0, -5.5)
    of(policy, divergence).sum().backward()
    w, l_ = math.exp(1.0), math.exp(-0.5)
    weight = 0.5 / (1 + math.exp(0.5 * (SLOPES[divergence](w) - SLOPES[divergence](l_))))
    assert policy.chosen.grad.item() == pytest.approx(-weight * bend(w), abs=1e-15)
    assert policy.rejected.grad.item() == pytest.approx(weight * bend(l_), abs=1e-15)


@each_divergence
def test_derivative_agrees_with_finite_differences(divergence: str) -> None:
    policy = pair(-3.0, -7.0)
    assert torch.autograd.gradcheck(
        lambda w, l_: of(policy._replace(chosen=w, rejected=l_), divergence), (policy.chosen, policy.rejected)
    )


@each_divergence
def test_is_log_two_where_policy_equals_reference(divergence: str) -> None:
    assert of(pair(*REFERENCE), divergence).item() == pytest.approx(math.log(2), abs=1e-15)


def test_reverse_kl_is_dpo_and_alpha_lies_between_it_and_forward_kl() -> None:
    policy = pair(-3.0, -7.0)
    dpo = math.log1p(math.exp(-0.5 * ((-3.0 + 4.0) - (-7.0 + 5.0))))
    assert of(policy, "reverse_kl").item() == pytest.approx(dpo, abs=1e-15)
    assert of(policy, "alpha", alpha=1e-8).item() == pytest.approx(dpo, abs=1e-7)
    assert of(policy, "alpha", alpha=1 - 1e-12).item() == pytest.approx(of(policy, "forward_kl").item(), abs=1e-10)


@each_divergence
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("chosen", "rejected"), [(-1e4, 1e4), (1e4, -1e4), (-1e4, -9e3), (-9e3, -1e4), (1e4, 1e4)])
def test_extremes_stay_finite_and_in_order(divergence: str, dtype: torch.dtype, chosen: float, rejected: float) -> None:
    """Squares of gradients too, so that a norm of them can be taken."""
    policy = pair(chosen, rejected, dtype=dtype)
    found = of(policy, divergence)
    found.sum().backward()
    for value in (found, policy.chosen.grad**2, policy.rejected.grad**2):
        assert torch.isfinite(value).all()
    if min(chosen, rejected) < 0:
        assert (found < math.log(2)) == (chosen > rejected)
        assert found > math.log(2) or found < 1e-30


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(alpha=1.0), "algo.alpha must lie in (0, 1), got 1.0"),
        (
            dict(divergence="kl"),
            "algo.divergence must be reverse_kl, forward_kl, jensen_shannon or alpha, got 'kl'",
        ),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        FDPOConfig(**setting)
