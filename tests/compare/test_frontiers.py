"""Gain at a matched KL, area and Pareto set by hand."""

from __future__ import annotations

import numpy as np
import pytest

from alignlab.compare.frontiers import area_under, common_range, gain_at, matched, pareto
from alignlab.errors import DataError

KL, GAIN = (4.0, 0.0, 1.0), (3.0, 0.0, 2.0)


def test_gain_is_read_between_points_in_the_root_of_kl() -> None:
    assert gain_at(KL, GAIN, 1.0) == 2
    assert gain_at(KL, GAIN, 0.25) == pytest.approx(1.0)
    assert gain_at(KL, GAIN, 2.25) == pytest.approx(2.5)
    assert gain_at(KL, GAIN, 4.0) == 3


@pytest.mark.parametrize("at", [0.5, 4.01, -1.0])
def test_nothing_is_read_outside(at: float) -> None:
    assert gain_at((1.0, 4.0), (2.0, 3.0), at) is None


def test_equal_kl_is_averaged() -> None:
    assert gain_at((1.0, 1.0, 4.0), (1.0, 3.0, 5.0), 1.0) == 2


def test_area_starts_at_the_sft_policy() -> None:
    # Along d: (0, 0), (1, 2), (2, 3): areas 1 and 2.5 over a width of 2.
    assert area_under(KL, GAIN, 4.0) == pytest.approx(1.75)
    assert area_under(KL[::2], GAIN[::2], 4.0) == pytest.approx(1.75)
    assert area_under(KL, GAIN, 2.25) == pytest.approx((1.0 + 0.5 * 2.25) / 1.5)
    assert area_under(KL, GAIN, 9.0) is None


def test_matched_table_has_gaps_where_frontiers_end() -> None:
    frontiers = {"a": {0: (KL, GAIN), 1: (KL, GAIN)}, "b": {0: ((0.0, 1.0), (0.0, 1.0))}}
    methods, seeds, table = matched(frontiers, 2.25)
    assert (methods, seeds) == (("a", "b"), (0, 1))
    np.testing.assert_allclose(table, [[2.5, 2.5], [np.nan, np.nan]])
    assert matched(frontiers, 1.0)[2][1, 0] == 1


def test_common_range() -> None:
    assert common_range([(KL, GAIN), ((0.25, 2.0), (0, 1))]) == pytest.approx((0.25, 2.0))
    assert common_range([((0.0, 1.0), (0, 1)), ((2.0, 3.0), (0, 1))]) is None


def test_pareto_set() -> None:
    assert pareto([1, 2, 3, 2, 0], [1, 3, 2, 3, 0]) == (4, 0, 1, 3)


def test_bad_points_are_refused() -> None:
    with pytest.raises(DataError, match=r"a KL of -0\.1 is negative"):
        gain_at((-0.1, 1.0), (0.0, 1.0), 0.5)
    with pytest.raises(DataError, match="a frontier point is not finite"):
        gain_at((0.1, np.nan), (0.0, 1.0), 0.5)
    with pytest.raises(DataError, match="a frontier of 2 KL and 1 gains"):
        gain_at((0.1, 1.0), (0.0,), 0.5)
