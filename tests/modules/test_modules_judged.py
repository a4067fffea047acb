"""Labels of sampled pairs by hand, and what lies beside them."""

from __future__ import annotations

import math

import pytest
import torch
from small import F64

from alignlab.data.batch import pad
from alignlab.modules.judged import identical, judge
from alignlab.modules.rivals import neighbours

FIRST = torch.tensor([1.0, -2.0, 0.5, 0.5, 0.3], dtype=F64)
SECOND = torch.tensor([0.0, 1.0, 0.5, 0.5, 0.1], dtype=F64)
SAME = torch.tensor([False, False, False, True, True])
U = torch.tensor([0.72, 0.05, 0.49, 0.51, 0.0001], dtype=F64)


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_hard_labels_take_the_higher_reward_and_leave_out_ties() -> None:
    found = judge(FIRST, SECOND, SAME, U, labels="hard")
    assert found.first[:2].tolist() == [True, False]
    assert found.weight.tolist() == [1, 1, 0, 0, 0]
    assert found.probability.tolist() == [1] * 5


def test_soft_labels_are_bradley_terry_probabilities_of_the_chosen() -> None:
    found = judge(FIRST, SECOND, SAME, U, labels="soft")
    assert found.first[:2].tolist() == [True, False]
    assert found.weight.tolist() == [1, 1, 1, 0, 0]
    expected = [logistic(1), logistic(3), 0.5, 0.5, logistic(0.2)]
    assert found.probability.tolist() == pytest.approx(expected, abs=1e-15)


def test_sampled_labels_compare_the_uniform_with_the_probability_of_the_first() -> None:
    found = judge(FIRST, SECOND, SAME, U, labels="sampled")
    assert found.first.tolist() == [logistic(1) > 0.72, logistic(-3) > 0.05, 0.49 < 0.5, 0.51 < 0.5, True]
    assert found.weight.tolist() == [1, 1, 1, 0, 0]
    assert found.probability.tolist() == [1] * 5


def test_sampled_labels_are_soft_labels_in_expectation() -> None:
    u = torch.linspace(0.0005, 0.9995, 1000, dtype=F64)
    ones = torch.ones_like(u)
    found = judge(0.8 * ones, 0.1 * ones, torch.zeros(1000, dtype=torch.bool), u, labels="sampled")
    assert found.first.double().mean().item() == pytest.approx(logistic(0.7), abs=1e-3)


def test_extreme_rewards_stay_finite() -> None:
    for labels in ("hard", "soft", "sampled"):
        found = judge(torch.tensor([1e4, -1e4]), torch.tensor([-1e4, 1e4]), SAME[:2], U[:2], labels=labels)
        assert found.first.tolist() == [True, False]
        assert found.probability.tolist() == [1, 1]


def test_identical_completions_are_told_from_prefixes_and_padding() -> None:
    rows = [[4, 5], [4, 5], [4, 5], [4, 5, 0], [0], [0, 0], [1, 2, 3], [1, 2, 3]]
    sequences = pad([([7, 0], reply) for reply in rows], 0)
    assert identical(sequences).tolist() == [True, False, False, True]


def test_neighbours_take_turns() -> None:
    one, two = torch.tensor([[1, 2], [3, 4]]), torch.tensor([[5, 6, 7], [8, 9, 0]])
    assert neighbours(one, two).tolist() == [[1, 2, 0], [5, 6, 7], [3, 4, 0], [8, 9, 0]]
    assert neighbours(two, one)[1].tolist() == [1, 2, 0]
    assert neighbours(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])).tolist() == [1, 3, 2, 4]
    assert neighbours(one > 1, two > 1).dtype == torch.bool
