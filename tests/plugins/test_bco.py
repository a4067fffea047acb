"""BCO against its closed form, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.bco.config import BCOConfig
from alignlab.plugins.bco.loss import bco_loss, reward_shift

from alignlab.errors import ConfigError
from alignlab.method import Data, Needs

F64 = torch.float64
BETA = 0.3


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize("shift", [0.0, 0.8])
@pytest.mark.parametrize("weight", [1.0, 3.0])
@pytest.mark.parametrize("reward", [-2.0, 0.0, 1.5])
def test_matches_closed_form_and_its_gradient(reward: float, weight: float, shift: float) -> None:
    given = torch.tensor([reward, reward], dtype=F64, requires_grad=True)
    found = bco_loss(given, torch.tensor([True, False]), torch.tensor(shift, dtype=F64), weight)
    found.sum().backward()
    x = reward - shift
    assert found.tolist() == pytest.approx([softplus(-x), weight * softplus(x)], abs=1e-14)
    s = 1 / (1 + math.exp(-x))
    assert given.grad.tolist() == pytest.approx([s - 1, weight * s], abs=1e-15)


def test_derivative_agrees_with_finite_differences() -> None:
    given = torch.tensor([1.0, -3.0, 0.5], dtype=F64, requires_grad=True)
    fixed = torch.tensor([True, False, False]), torch.tensor(0.4, dtype=F64), torch.tensor([1.0, 2.0, 0.5], dtype=F64)
    assert torch.autograd.gradcheck(lambda each: bco_loss(each, *fixed), (given,))


def test_a_pair_costs_twice_log_two_at_the_reference_and_never_less_than_dpo() -> None:
    both = torch.tensor([True, False])
    zero = torch.zeros(2, dtype=F64)
    assert bco_loss(zero, both, zero[0]).sum().item() == pytest.approx(2 * math.log(2), abs=1e-15)
    for good, bad in ((1.0, -2.0), (3.0, 2.5), (-1.0, 4.0)):
        bounds = []
        for shift in (-1.0, 0.0, (good + bad) / 2, 3.0):
            rewards = torch.tensor([good, bad], dtype=F64)
            bounds.append(bco_loss(rewards, both, torch.tensor(shift, dtype=F64)).sum().item())
        assert all(bound > softplus(bad - good) for bound in bounds)
        assert min(bounds) == bounds[2]


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_extreme_rewards_stay_finite(dtype: torch.dtype) -> None:
    given = torch.tensor([1e4, -1e4, 1e4, -1e4], dtype=dtype, requires_grad=True)
    found = bco_loss(given, torch.tensor([True, True, False, False]), torch.tensor(0.0, dtype=dtype))
    found.sum().backward()
    assert found.tolist() == pytest.approx([0, 1e4, 1e4, 0])
    assert given.grad.tolist() == pytest.approx([0, -1, 1, 0])


def test_shift_weighs_verdicts_alike_and_leaves_out_one_that_was_not_met() -> None:
    sums, counts = torch.tensor([6.0, -2.0], dtype=F64), torch.tensor([3.0, 1.0], dtype=F64)
    assert reward_shift(sums, counts).item() == (2.0 - 2.0) / 2
    assert reward_shift(torch.tensor([6.0, 0.0]), torch.tensor([3.0, 0.0])).item() == 2.0


def test_labels_are_read_twice_only_for_density_ratios() -> None:
    declared = Needs(data=Data.LABELS)
    assert BCOConfig().needs(declared) == declared
    assert BCOConfig(density_ratio=True).needs(declared).auxiliary is Data.LABELS


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(shift_memory=1.1), "algo.shift_memory must lie in [0, 1], got 1.1"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        BCOConfig(**setting)
