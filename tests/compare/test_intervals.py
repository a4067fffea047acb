"""Intervals and exact tests against SciPy, printed tables and counting by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from alignlab.compare.intervals import (
    clopper_pearson,
    holm,
    mean_interval,
    paired_interval,
    proportion,
    sign_flip,
    wilson,
)
from alignlab.errors import ConfigError, DataError


def test_mean_interval_is_students_t() -> None:
    values = np.array([0.3, 0.9, 0.4, 0.7, 0.2])
    found = mean_interval(values, 0.9)
    expected = stats.t.interval(0.9, 4, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert (found.n, found.missing, found.notes) == (5, 0, ())


def test_missing_seeds_are_counted_and_few_are_indicative() -> None:
    found = mean_interval([1.0, np.nan, 2.0, 3.0])
    assert (found.value, found.n, found.missing) == (2.0, 3, 1)
    assert found.notes == ("Indicative: 3 seeds, where 5 are the default.",)


def test_one_seed_has_no_interval() -> None:
    found = mean_interval([1.0])
    assert (found.value, found.low, found.high) == (1.0, None, None)
    assert "no interval" in found.notes[0]


def test_equal_seeds_have_no_width_and_say_so() -> None:
    found = mean_interval([0.1 + 0.2] * 5)
    assert found.low == found.high == found.value
    assert "measures no uncertainty" in found.notes[-1]


def test_no_seed_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="none of 2 seeds has a value"):
        mean_interval([np.nan, np.nan])


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_level_is_a_probability(level: float) -> None:
    with pytest.raises(ConfigError, match="is not between 0 and 1"):
        mean_interval([1.0, 2.0], level)


def test_paired_interval_uses_the_seeds_that_both_have() -> None:
    first, second = [1.0, 4.0, 2.0, np.nan], [0.5, 2.0, 1.8, 3.0]
    found = paired_interval(first, second)
    low, high = stats.ttest_rel(first[:3], second[:3]).confidence_interval(0.95)
    assert (found.low, found.high, found.missing) == (pytest.approx(low), pytest.approx(high), 1)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (1, 5), (3, 7), (19, 20), (50, 100), (5, 5), (0, 1)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_and_clopper_pearson_match_scipy(hits: int, n: int, level: float) -> None:
    for ours, name in ((wilson, "wilson"), (clopper_pearson, "exact")):
        interval = stats.binomtest(hits, n).proportion_ci(level, method=name)
        assert ours(hits, n, level) == pytest.approx(tuple(interval), abs=1e-10)


def test_wilson_ends_are_roots_of_the_score_equation() -> None:
    for bound in wilson(2.5, 11):
        z = (2.5 / 11 - bound) / math.sqrt(bound * (1 - bound) / 11)
        assert abs(z) == pytest.approx(1.959963984540054, abs=1e-9)


def test_no_events_follow_the_closed_form() -> None:
    low, high = clopper_pearson(0, 30)
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 30), abs=1e-12)
    assert proportion(0, 30).high == pytest.approx(high)
    assert "Clopper-Pearson" in proportion(30, 30).kind
    assert "Wilson" in proportion(29.5, 30).kind


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (-1, 4), (5, 4)])
def test_what_is_no_proportion_is_refused(hits: int, n: int) -> None:
    with pytest.raises(DataError, match=f"{hits} successes of {n} are no proportion"):
        wilson(hits, n)


def test_sign_flip_counts_every_pattern() -> None:
    differences = np.array([0.5, 1.0, -0.2, 0.8, 0.3])
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((1, -1), repeat=5)]
    assert sign_flip(differences) == np.mean(np.array(sums) >= abs(differences.sum()) - 1e-12)


@pytest.mark.parametrize("seeds", [1, 2, 3, 5, 8, 16])
def test_sign_flip_never_shows_less_than_its_seeds_can(seeds: int) -> None:
    assert sign_flip(1 + np.arange(seeds)) == min(1.0, 2 / 2**seeds)


def test_sign_flip_beyond_enumeration_is_counted_and_close_to_exact() -> None:
    rng = np.random.default_rng(0)
    assert sign_flip(np.ones(17), draws=999) >= 1 / 1000
    assert sign_flip(np.ones(20), draws=99_999) >= 2 / 2**20
    differences = rng.normal(0.4, 1, 20)
    drawn = sign_flip(differences, draws=20_000)
    assert drawn == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.02)
    assert drawn == sign_flip(differences, draws=20_000)


def test_sign_flip_of_equal_methods_is_one() -> None:
    assert sign_flip(np.zeros(6)) == 1
    assert sign_flip(np.zeros(18), draws=99) == 1


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.5]), [0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]).max() == 1
