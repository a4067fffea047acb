"""Expected best of subsets, best-of-n and tuning curves against enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from alignlab.compare.overoptimisation import best_of_n
from alignlab.compare.subsets import best_of, chances
from alignlab.compare.tuning import tuning_curve
from alignlab.errors import ConfigError, DataError


def by_force(selection: np.ndarray, reported: np.ndarray, k: int) -> float:
    """Mean over subsets of the reported score of the best selected, ties averaged."""
    found = []
    for subset in itertools.combinations(range(len(selection)), k):
        picked = [each for each in subset if selection[each] == max(selection[list(subset)])]
        found.append(np.mean(reported[picked]))
    return float(np.mean(found))


@pytest.mark.parametrize("k", range(1, 8))
def test_best_of_matches_every_subset(k: int) -> None:
    rng = np.random.default_rng(k)
    selection, reported = rng.normal(size=(2, 7))
    assert best_of(selection, k) == pytest.approx(by_force(selection, selection, k), abs=1e-12)
    assert best_of(selection, k, reported) == pytest.approx(by_force(selection, reported, k), abs=1e-12)


@pytest.mark.parametrize("k", range(1, 8))
def test_ties_are_averaged(k: int) -> None:
    selection = np.array([1.0, 3.0, 3.0, 2.0, 1.0, 3.0, 0.0])
    reported = np.random.default_rng(k).normal(size=7)
    assert best_of(selection, k, reported) == pytest.approx(by_force(selection, reported, k), abs=1e-12)


def test_order_of_samples_does_not_matter() -> None:
    selection, reported = np.array([1.0, 1.0, 2.0, 2.0]), np.array([4.0, 8.0, 1.0, 3.0])
    back = best_of(selection[::-1], 2, reported[::-1])
    assert best_of(selection, 2, reported) == pytest.approx(back, abs=1e-14)


def test_chances_sum_to_one_for_large_samples() -> None:
    assert chances(2_000, 700).sum() == pytest.approx(1, abs=1e-9)


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match="the best of 8 cannot be taken from 7"):
        best_of(np.arange(7.0), 8)
    with pytest.raises(DataError, match="cannot be ranked"):
        best_of([1.0, np.nan], 1)


def test_best_of_n_of_several_prompts() -> None:
    proxy, gold = np.random.default_rng(0).normal(size=(2, 3, 6))
    found = best_of_n(proxy, gold, 4)
    assert found[0] == pytest.approx(np.mean([by_force(each, each, 4) for each in proxy]))
    assert found[1] == pytest.approx(np.mean([by_force(p, g, 4) for p, g in zip(proxy, gold, strict=True)]))


def test_tuning_curve_reports_what_was_selected() -> None:
    selection, reported = np.random.default_rng(3).normal(size=(2, 6))
    found = tuning_curve(selection, reported)
    assert found.trials == (1, 2, 3, 4, 5, 6)
    assert found.expected == pytest.approx([by_force(selection, reported, k) for k in range(1, 7)])
    assert found.expected[-1] == pytest.approx(reported[selection.argmax()])


def test_a_failed_trial_costs_and_is_never_chosen() -> None:
    found = tuning_curve([1.0, np.nan, 3.0])
    assert (found.failed, found.trials) == (1, (2, 3))
    # Pairs: {1, failed} gives 1, {3, failed} and {1, 3} give 3.
    assert found.expected == pytest.approx((7 / 3, 3.0))


def test_no_finished_trial_is_an_error() -> None:
    with pytest.raises(DataError, match="none of 2 trials has a score"):
        tuning_curve([np.nan, np.nan])
