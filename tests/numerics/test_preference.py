"""Bradley-Terry against its definition."""

from __future__ import annotations

import math

import pytest
import torch

from alignlab.numerics.preference import bradley_terry

F64 = torch.float64


def value(d: float, p: float = 1.0) -> float:
    return bradley_terry(torch.tensor([d], dtype=F64), p).item()


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("d", [-3.0, -0.5, 0.0, 2.0])
def test_is_the_cross_entropy_of_a_logistic_model(d: float, p: float) -> None:
    first = 1 / (1 + math.exp(-d))
    assert value(d, p) == pytest.approx(-p * math.log(first) - (1 - p) * math.log(1 - first), abs=1e-14)


@pytest.mark.parametrize("p", [0.0, 0.2, 1.0])
def test_gradient_is_predicted_minus_stated_probability(p: float) -> None:
    d = torch.tensor([-2.0, 0.0, 1.5], dtype=F64, requires_grad=True)
    bradley_terry(d, p).sum().backward()
    expected = [1 / (1 + math.exp(-x)) - p for x in d.tolist()]
    torch.testing.assert_close(d.grad, torch.tensor(expected, dtype=F64), rtol=0, atol=1e-15)
    assert torch.autograd.gradcheck(lambda x: bradley_terry(x, p), d)


def test_swapping_the_pair_swaps_the_probability() -> None:
    d, p = torch.tensor([0.7, -2.0], dtype=F64), torch.tensor([0.9, 0.4], dtype=F64)
    torch.testing.assert_close(bradley_terry(d, p), bradley_terry(-d, 1 - p), rtol=0, atol=1e-15)


def test_probabilities_may_differ_between_pairs() -> None:
    d, p = torch.tensor([0.7, -2.0], dtype=F64), torch.tensor([0.9, 0.4], dtype=F64)
    assert bradley_terry(d, p).tolist() == [value(0.7, 0.9), value(-2.0, 0.4)]


def test_the_minimum_is_where_the_model_agrees() -> None:
    best = math.log(0.8 / 0.2)
    assert value(best, 0.8) < min(value(best - 1e-3, 0.8), value(best + 1e-3, 0.8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_extreme_differences_stay_finite(dtype: torch.dtype, p: float) -> None:
    d = torch.tensor([-1e4, 1e4], dtype=dtype, requires_grad=True)
    loss = bradley_terry(d, p)
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([p * 1e4, (1 - p) * 1e4])
    assert d.grad.tolist() == pytest.approx([-p, 1 - p])
