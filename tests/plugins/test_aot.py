"""Paired AOT against sorted lists, whole and cut into micro-batches, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.aot.config import AOTConfig
from alignlab.plugins.aot.loss import aot_loss, match

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms

F64 = torch.float64
BETA = 0.3


def batch(seed: int, rows: int = 7, dtype: torch.dtype = F64) -> PairLogps:
    draw = torch.Generator().manual_seed(seed)
    sides = [-20 * torch.rand(rows, generator=draw, dtype=F64).to(dtype) for _ in range(2)]
    return PairLogps(*(side.requires_grad_() for side in sides), torch.ones(rows), torch.ones(rows))


def rows_of(pair: PairLogps, rows: list[int]) -> PairLogps:
    return PairLogps(*(column[rows] for column in pair))


def gradients(pair: PairLogps) -> list[list[float]]:
    return [pair.chosen.grad.tolist(), pair.rejected.grad.tolist()]


def terms(policy: PairLogps, reference: PairLogps) -> PairTerms:
    with torch.no_grad():
        matched = match(policy, reference)
    return aot_loss(policy, reference, beta=BETA, **matched)


def margins(pair: PairLogps) -> list[float]:
    return [w - l_ for w, l_ in zip(pair.chosen.tolist(), pair.rejected.tolist(), strict=True)]


def test_matches_sorted_lists() -> None:
    policy, reference = batch(0), batch(1)
    steps = [m - n for m, n in zip(sorted(margins(policy)), sorted(margins(reference)), strict=True)]
    found = terms(policy, reference)
    assert found.loss.sum().item() == pytest.approx(sum(math.log1p(math.exp(-BETA * x)) for x in steps), abs=1e-13)
    own = [BETA * (m - n) for m, n in zip(margins(policy), margins(reference), strict=True)]
    assert found.implicit_margin.tolist() == pytest.approx(own, abs=1e-14)


def test_gradient_is_that_of_the_rank_of_each_pair() -> None:
    policy, reference = batch(0), batch(1)
    terms(policy, reference).loss.sum().backward()
    own, other = margins(policy), sorted(margins(reference))
    steps = [m - other[sorted(own).index(m)] for m in own]
    expected = [-BETA / (1 + math.exp(BETA * step)) for step in steps]
    found = gradients(policy)
    assert found[0] == pytest.approx(expected, abs=1e-15)
    assert found[1] == pytest.approx([-x for x in expected], abs=1e-15)


def test_derivative_agrees_with_finite_differences() -> None:
    policy, reference = batch(0), batch(1)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return terms(policy._replace(chosen=chosen, rejected=rejected), reference).loss.sum()

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


def test_cutting_the_batch_changes_neither_values_nor_gradients() -> None:
    policy, cut, reference = batch(0), batch(0), batch(1)
    full = terms(policy, reference).loss
    full.sum().backward()
    with torch.no_grad():
        matched = match(cut, reference)
    for rows in ([4, 0, 6], [1], [2, 5, 3]):
        context = {name: value[rows] for name, value in matched.items()}
        part = aot_loss(rows_of(cut, rows), rows_of(reference, rows), beta=BETA, **context).loss
        torch.testing.assert_close(part, full[rows], rtol=0, atol=0)
        part.sum().backward()
    assert gradients(cut) == gradients(policy)


def test_is_log_two_where_policy_equals_reference_and_a_batch_of_one_is_dpo() -> None:
    torch.testing.assert_close(
        terms(batch(0), batch(0)).loss, torch.full((7,), math.log(2), dtype=F64), rtol=0, atol=1e-15
    )
    policy, reference = batch(2, 1), batch(3, 1)
    expected = math.log1p(math.exp(-BETA * (margins(policy)[0] - margins(reference)[0])))
    assert terms(policy, reference).loss.item() == pytest.approx(expected, abs=1e-15)


def test_ties_keep_the_order_of_rows() -> None:
    tied, zero = torch.tensor([5.0, 1.0, 5.0, 5.0, 1.0]), torch.zeros(5)
    reference = PairLogps(torch.tensor([3.0, 9.0, 4.0, 1.0, 2.0]), zero, zero, zero)
    assert match(PairLogps(tied, zero, zero, zero), reference)["matched_margin"].tolist() == [3, 1, 4, 9, 2]


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_extreme_margins_stay_finite(dtype: torch.dtype) -> None:
    policy, reference = batch(0, 2, dtype), batch(0, 2, dtype)
    policy = policy._replace(chosen=torch.tensor([-1e4, 1e4], dtype=dtype, requires_grad=True))
    found = terms(policy, reference).loss
    found.sum().backward()
    assert found.tolist() == pytest.approx([3e3, 0.0], abs=20)
    assert policy.chosen.grad.tolist() == pytest.approx([-BETA, 0.0])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(on_policy_weight=True), "algo.on_policy_weight=true weighs pairs"),
    ],
)
def test_settings_that_cannot_work_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        AOTConfig(**setting)
