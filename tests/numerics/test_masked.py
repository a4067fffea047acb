"""Masked statistics against statistics of the selected numbers themselves."""

from __future__ import annotations

import math
import statistics

import pytest
import torch

from alignlab.numerics.masked import (
    explained_variance,
    last_index,
    masked_mean,
    masked_var,
    position_ids,
    whiten,
)

F64 = torch.float64
MASK = torch.tensor([[0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1]])


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(0)
    return 4 * torch.randn(3, 5, dtype=F64) + 2


def chosen(x: torch.Tensor) -> list[float]:
    return [x[b, t].item() for b in range(3) for t in range(5) if MASK[b, t]]


@pytest.mark.parametrize("mask", [MASK, MASK.bool(), MASK.double()], ids=["long", "bool", "double"])
def test_mean_and_variance_are_those_of_the_selected(x: torch.Tensor, mask: torch.Tensor) -> None:
    values = chosen(x)
    assert masked_mean(x, mask).item() == pytest.approx(statistics.fmean(values), abs=1e-14)
    assert masked_var(x, mask).item() == pytest.approx(statistics.variance(values), abs=1e-12)
    assert masked_var(x, mask, unbiased=False).item() == pytest.approx(statistics.pvariance(values), abs=1e-12)


def test_the_mean_of_nothing_is_nan_not_zero(x: torch.Tensor) -> None:
    assert math.isnan(masked_mean(x, torch.zeros_like(MASK)))


def test_gradient_of_the_mean_is_one_over_n(x: torch.Tensor) -> None:
    leaf = x.clone().requires_grad_()
    masked_mean(leaf, MASK).backward()
    assert torch.equal(leaf.grad, MASK.double() / 9)


def test_derivatives_agree_with_finite_differences(x: torch.Tensor) -> None:
    leaf = x.clone().requires_grad_()
    for function in (masked_mean, masked_var, whiten):
        assert torch.autograd.gradcheck(lambda y, f=function: f(y, MASK), leaf)


def test_whitening_uses_one_mean_and_deviation_for_the_whole_tensor(x: torch.Tensor) -> None:
    values = chosen(x)
    mean, deviation = statistics.fmean(values), statistics.pstdev(values)
    for shift, offset in ((True, 0.0), (False, mean)):
        white = whiten(x, MASK, shift_mean=shift)
        for b in range(3):
            for t in range(5):
                expected = (x[b, t].item() - mean) / (deviation + 1e-8) + offset if MASK[b, t] else 0.0
                assert white[b, t].item() == pytest.approx(expected, abs=1e-13)


def test_whitened_entries_have_mean_0_and_deviation_1(x: torch.Tensor) -> None:
    white = chosen(whiten(x, MASK))
    assert statistics.fmean(white) == pytest.approx(0, abs=1e-14)
    assert statistics.pstdev(white) == pytest.approx(1, abs=1e-8)


def test_whitening_rows_apart_is_another_thing(x: torch.Tensor) -> None:
    apart = torch.cat([whiten(x[[row]], MASK[[row]]) for row in range(3)])
    assert not torch.allclose(apart, whiten(x, MASK), atol=0.1)


def test_whitening_shares_of_processes_is_whitening_the_whole(x: torch.Tensor) -> None:
    """Each process hands its sums to `total`; here one list of partial sums stands for all of them."""
    shares = [(x[:1], MASK[:1]), (x[1:], MASK[1:])]
    whole = whiten(x, MASK)
    for place, (own, mask) in enumerate(shares):
        other, its_mask = shares[1 - place]
        mean = masked_mean(x, MASK)
        sums = iter(
            [(other * its_mask).sum(), its_mask.sum()] * 2 + [(((other - mean) * its_mask) ** 2).sum(), its_mask.sum()]
        )
        found = whiten(own, mask, total=lambda mine, rest=sums: mine + next(rest))
        torch.testing.assert_close(found, whole[:1] if place == 0 else whole[1:], rtol=0, atol=1e-13)


def test_constant_entries_whiten_to_zero() -> None:
    assert torch.equal(whiten(torch.full((3, 5), 7.0), MASK), torch.zeros(3, 5))


def test_explained_variance_closed_form(x: torch.Tensor) -> None:
    torch.manual_seed(1)
    prediction = torch.randn(3, 5, dtype=F64)
    rest = statistics.pvariance([t - p for t, p in zip(chosen(x), chosen(prediction), strict=True)])
    expected = 1 - rest / statistics.pvariance(chosen(x))
    assert explained_variance(prediction, x, MASK).item() == pytest.approx(expected, abs=1e-13)


def test_explained_variance_is_1_when_right_up_to_a_constant_and_0_for_a_constant(x: torch.Tensor) -> None:
    assert explained_variance(x + 3, x, MASK).item() == pytest.approx(1, abs=1e-13)
    assert explained_variance(torch.zeros_like(x), x, MASK).item() == pytest.approx(0, abs=1e-13)
    assert math.isnan(explained_variance(x, torch.ones_like(x), MASK))


@pytest.mark.parametrize("statistic", [masked_mean, masked_var, whiten, lambda x, m: explained_variance(x, x**2, m)])
def test_what_is_not_selected_changes_nothing(x: torch.Tensor, statistic: object) -> None:
    changed = torch.where(MASK.bool(), x, x * -17 + 1e6)
    torch.testing.assert_close(statistic(changed, MASK), statistic(x, MASK), rtol=0, atol=1e-9)


@pytest.mark.parametrize("statistic", [masked_mean, masked_var, lambda x, m: explained_variance(x, x**2, m)])
def test_the_order_of_rows_changes_nothing(x: torch.Tensor, statistic: object) -> None:
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(statistic(x[order], MASK[order]), statistic(x, MASK), rtol=0, atol=1e-13)


def test_last_index_is_the_last_one_selected() -> None:
    assert last_index(MASK).tolist() == [3, 2, 4]
    assert last_index(MASK.bool()).tolist() == [3, 2, 4]


def test_positions_count_real_tokens() -> None:
    attention = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    assert position_ids(attention)[0].tolist() == [0, 0, 0, 1]
    assert position_ids(attention)[1].tolist() == [0, 1, 2, 3]
    assert position_ids(attention)[2, :2].tolist() == [0, 1]
