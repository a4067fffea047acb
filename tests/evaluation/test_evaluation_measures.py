from __future__ import annotations

import math

import numpy as np
import pytest

from alignlab.compare.intervals import wilson
from alignlab.data.schema import Verdict
from alignlab.errors import DataError
from alignlab.evaluation.measures import (
    NOTHING,
    Estimate,
    change,
    distinct_n,
    estimate,
    rate_of,
    share,
    win_rate,
    youden,
)


def test_mean_and_standard_error_are_the_textbook_ones():
    values = [1.0, 2.0, 4.0, 8.0, -3.0]
    found = estimate(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-15)
    assert found.error == pytest.approx(np.std(values, ddof=1) / math.sqrt(5), abs=1e-15)
    assert (found.n, found.missing) == (5, 0)


@pytest.mark.parametrize("hole", [None, math.nan, math.inf, -math.inf])
def test_what_is_missing_is_counted_and_left_out(hole):
    assert estimate([1.0, hole, 3.0]) == estimate([1.0, 3.0])._replace(missing=1)


def test_nothing_measured_has_no_mean():
    assert estimate([]) == Estimate(None, None, 0, 0)
    assert estimate([None, math.nan]) == Estimate(None, None, 0, 2)


def test_one_value_has_no_error():
    assert estimate([2.5]) == Estimate(2.5, None, 1, 0)
    assert estimate([1.0, 2.0, 3.0], ["g", "g", "g"]) == Estimate(2.0, None, 3, 0)


def test_equal_groups_have_the_error_of_the_mean_of_group_means():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(7, 4)) + 3 * rng.normal(size=(7, 1))
    groups = [goal for goal in range(7) for _ in range(4)]
    means = values.mean(1)
    found = estimate(values.ravel().tolist(), groups)
    assert found.error == pytest.approx(means.std(ddof=1) / math.sqrt(7), rel=1e-12)
    assert found.error > 1.5 * estimate(values.ravel().tolist()).error


def test_repeating_every_value_within_its_group_does_not_shrink_the_error():
    values = [0.2, 0.9, 0.4, 0.7]
    repeated = estimate([value for value in values for _ in range(10)], [i for i in range(4) for _ in range(10)])
    assert repeated.error == pytest.approx(estimate(values).error, rel=1e-12)


def test_groups_must_match_values():
    with pytest.raises(DataError, match="2 values but 3 groups"):
        estimate([1.0, 2.0], [0, 1, 2])


def test_change_is_paired():
    after, before = [1.0, 5.0, None, 7.0, math.nan], [0.5, 4.0, 3.0, None, 1.0]
    assert change(after, before) == estimate([0.5, 1.0])._replace(missing=3)
    shifted = change([x + 0.25 for x in range(9)], [float(x) for x in range(9)])
    assert (shifted.mean, shifted.error) == (0.25, 0.0)


def test_change_needs_pairs():
    with pytest.raises(DataError, match="2 values after but 1 before"):
        change([1.0, 2.0], [1.0])


def test_win_rate_counts_ties_as_half():
    found = win_rate([1.0, 2.0, 3.0, 0.0, None, 1.0], [0.0, 2.0, 4.0, -1.0, 1.0, math.nan])
    assert (found.value, found.n, found.missing) == ((2 + 0.5) / 4, 4, 2)
    assert (found.low, found.high) == wilson(2.5, 4)


def test_win_rates_of_both_sides_add_up_to_one():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 4, 50).tolist(), rng.integers(0, 4, 50).tolist()
    assert win_rate(a, b).value + win_rate(b, a).value == pytest.approx(1.0, abs=1e-15)
    assert win_rate(a, a).value == 0.5


def test_win_rate_needs_pairs_and_survives_nothing():
    assert win_rate([], []) == NOTHING
    assert win_rate([None], [1.0]) == NOTHING._replace(missing=1)
    with pytest.raises(DataError, match="2 scores against 1"):
        win_rate([1.0, 2.0], [1.0])


def test_distinct_n_counts_over_the_whole_corpus():
    assert distinct_n(["a b a b"], 1) == 2 / 4
    assert distinct_n(["a b a b"], 2) == 2 / 3
    assert distinct_n(["a b", "a b", "c"], 2) == 1 / 2
    assert distinct_n(["a b c"], 3) == 1.0


def test_distinct_n_never_joins_texts_and_guards_empties():
    assert distinct_n(["a", "b"], 2) is None
    assert distinct_n(["", "  \n"], 1) is None
    assert distinct_n([], 1) is None
    with pytest.raises(DataError, match="n >= 1, got 0"):
        distinct_n(["a"], 0)


def test_rates_of_verdicts_count_the_unjudged_apart():
    verdicts = [Verdict.REFUSED, Verdict.COMPLIED, None, Verdict.PARTIAL, Verdict.REFUSED]
    found = rate_of(verdicts, Verdict.REFUSED)
    assert (found.value, found.n, found.missing) == (0.5, 4, 1)
    parts = [rate_of(verdicts, each).value for each in Verdict]
    assert sum(parts) == pytest.approx(1.0)
    assert share([]) == NOTHING


def test_youden_of_the_two_control_policies_is_zero():
    assert youden(1.0, 1.0) == youden(0.0, 0.0) == 0.0
    assert youden(0.9, 0.2) == pytest.approx(0.7)
    assert youden(None, 0.2) is None
    assert youden(0.9, None) is None
