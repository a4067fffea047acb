"""Figures over several worlds against SciPy and counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from alignlab.compare.worlds import (
    interquartile_interval,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    profile_band,
)
from alignlab.errors import DataError

RNG = np.random.default_rng(0)
A = [RNG.normal(0.3, 1, 6), RNG.normal(0.5, 1, 6), RNG.normal(0, 1, 5)]
B = [RNG.normal(0, 1, 6), RNG.normal(0, 1, 7), RNG.normal(0, 1, 5)]


def test_interquartile_mean_is_the_trimmed_mean() -> None:
    assert interquartile_mean(A) == pytest.approx(stats.trim_mean(np.concatenate(A), 0.25))
    assert interquartile_mean([[0.0, 1.0, 2.0, 1000.0]]) == 1.5


def test_interquartile_interval_resamples_inside_worlds() -> None:
    """Worlds far apart do not widen the interval: only their seeds are drawn."""
    apart = [np.array([0.0, 0.1, 0.2, 0.1]), 100 + np.array([0.0, 0.1, 0.2, 0.3])]
    found = interquartile_interval(apart)
    assert found.low <= found.value <= found.high
    assert found.high - found.low < 0.2
    assert interquartile_interval([[1.0], [2.0, 3.0]]).low is None


def test_probability_of_improvement_is_mann_whitney() -> None:
    expected = np.mean([stats.mannwhitneyu(a, b).statistic / (a.size * b.size) for a, b in zip(A, B, strict=True)])
    found = probability_of_improvement(A, B)
    assert found.value == pytest.approx(expected)
    assert found.low < found.value < found.high
    assert probability_of_improvement(A, A).value == pytest.approx(0.5)
    back = probability_of_improvement(B, A)
    assert back.value == pytest.approx(1 - found.value)


def test_profile_counts_runs_above() -> None:
    found = performance_profile([[0.0, 1.0], [1.0, 2.0, 3.0, 4.0]], [-1, 0.5, 2, 9])
    np.testing.assert_allclose(found, [1, 0.75, 0.25, 0])
    low, high = profile_band(A, [0.0, 0.5])
    middle = performance_profile(A, [0.0, 0.5])
    assert (low <= middle).all()
    assert (middle <= high).all()


def test_empty_worlds_are_refused() -> None:
    with pytest.raises(DataError, match="a world has no score"):
        interquartile_mean([[1.0], []])
    with pytest.raises(DataError, match="1 worlds against 3"):
        probability_of_improvement(A[:1], B)
