"""The block design against hand computation, and what happens to gaps, ties and uneven spread."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from alignlab.compare.blocks import Comparison, against, all_pairs
from alignlab.errors import DataError

RNG = np.random.default_rng(7)
EVEN = RNG.normal(size=(4, 5)) * 0.3 + np.array([0.0, 1.0, 1.1, 3.0])[:, None] + 10 * RNG.normal(size=(1, 5))
NAMES = ("a", "b", "c", "d")
WILD = np.random.default_rng(0).normal(size=(5, 8)) * np.array([1, 1, 1, 1, 40])[:, None]


def test_tukey_by_hand() -> None:
    found = all_pairs(EVEN, NAMES)
    left = EVEN - EVEN.mean(1, keepdims=True) - EVEN.mean(0) + EVEN.mean()
    sd = np.sqrt((left**2).sum() / 12)
    half = stats.studentized_range.ppf(0.95, 4, 12) * sd / 5**0.5
    assert (found.kind, found.df, found.residual_sd) == ("tukey", 12, pytest.approx(sd))
    assert len(found.pairs) == 6
    for each in found.pairs:
        gap = EVEN[NAMES.index(each.a)].mean() - EVEN[NAMES.index(each.b)].mean()
        assert (each.difference, each.low, each.high) == pytest.approx((gap, gap - half, gap + half))
        assert each.separated == (abs(gap) > half)
        p = stats.studentized_range.sf(abs(gap) / (sd / 5**0.5), 4, 12)
        assert each.p == pytest.approx(max(p, 2 / 2**5), abs=1e-4)


def test_methods_come_best_first_and_tiers_overlap_no_separated_pair() -> None:
    found = all_pairs(EVEN, NAMES)
    assert found.methods[0] == "d"
    assert found.methods[-1] == "a"
    assert found.tiers[0] == ("d",)
    assert set(found.tiers[1]) == {"b", "c"}
    assert all(not found.pair(x, y).separated for tier in found.tiers for x in tier for y in tier if x != y)


def test_a_pair_can_be_read_from_either_side() -> None:
    found = all_pairs(EVEN, NAMES)
    one, other = found.pair("a", "d"), found.pair("d", "a")
    assert (one.difference, one.low, one.high) == (-other.difference, -other.high, -other.low)
    with pytest.raises(DataError, match="'a' and 'z' were not compared"):
        found.pair("a", "z")


@pytest.mark.parametrize("compare", [all_pairs, lambda values, names: against(values, names, "b")])
def test_two_methods_are_the_paired_t(compare) -> None:
    values = EVEN[:2]
    found: Comparison = compare(values, ("a", "b"))
    test = stats.ttest_rel(values[0], values[1])
    low, high = test.confidence_interval(0.95)
    pair = found.pair("a", "b")
    assert (found.kind, found.df) == ("paired t", 4)
    assert (pair.low, pair.high) == pytest.approx((low, high))
    assert pair.p == pytest.approx(max(test.pvalue, 2 / 2**5))


def test_dunnett_is_narrower_than_tukey() -> None:
    many, one = all_pairs(EVEN, NAMES), against(EVEN, NAMES, "a")
    assert one.kind == "dunnett"
    assert [each.b for each in one.pairs] == ["a", "a", "a"]
    assert one.tiers == ()
    for each in one.pairs:
        wide = many.pair(each.a, "a")
        assert each.difference == pytest.approx(wide.difference)
        assert 0 < each.high - each.low < wide.high - wide.low


def test_unknown_baseline_is_refused() -> None:
    with pytest.raises(DataError, match="the baseline 'z' is not among the methods"):
        against(EVEN, NAMES, "z")


def test_a_seed_shift_changes_nothing() -> None:
    one, two = all_pairs(EVEN, NAMES), all_pairs(EVEN + 100 * np.arange(5), NAMES)
    for each, other in zip(one.pairs, two.pairs, strict=True):
        assert (each.low, each.high) == pytest.approx((other.low, other.high), abs=1e-10)


@pytest.mark.parametrize("values", [EVEN, WILD])
def test_intervals_move_with_the_means(values: np.ndarray) -> None:
    names = tuple("abcde")[: len(values)]
    means = dict(zip(names, (3.0, -1.0, 7.0, 0.5, 2.0), strict=False))
    one, two = all_pairs(values, names), all_pairs(values + np.array(list(means.values()))[:, None], names)
    for each in two.pairs:
        before, moved = one.pair(each.a, each.b), means[each.a] - means[each.b]
        assert (each.low, each.high) == pytest.approx((before.low + moved, before.high + moved), abs=1e-9)


def test_a_missing_run_drops_its_seed_and_says_so() -> None:
    gappy = EVEN.copy()
    gappy[1, 3] = np.nan
    found = all_pairs(gappy, NAMES, seeds=(10, 11, 12, 13, 14))
    assert (found.seeds, found.dropped_seeds) == ((10, 11, 12, 14), (13,))
    assert "Seed 13 is left out: no figure for b." in found.notes
    assert found.pairs == all_pairs(np.delete(gappy, 3, 1), NAMES).pairs


def test_a_method_with_one_common_seed_is_left_out_and_named() -> None:
    gappy = EVEN.copy()
    gappy[2, 1:] = np.nan
    found = all_pairs(gappy, NAMES)
    assert (found.left_out, len(found.seeds), len(found.pairs)) == (("c",), 5, 3)
    assert found.notes == ("c is left out: too few seeds in common with the others.",)


def test_a_baseline_is_kept_where_another_can_go() -> None:
    gappy = EVEN.copy()
    gappy[0, :3] = np.nan
    gappy[1, 3:] = np.nan
    found = against(gappy, NAMES, "a")
    assert found.left_out == ("b",)
    assert found.seeds == (3, 4)


def test_one_seed_has_no_intervals() -> None:
    found = all_pairs(EVEN[:, :1], NAMES)
    assert found.kind == "none"
    assert all((each.low, each.high, each.p, each.separated) == (None, None, None, False) for each in found.pairs)
    assert found.tiers == (found.methods,)
    assert any("One seed" in note for note in found.notes)


def test_methods_without_a_common_seed_are_not_compared() -> None:
    found = all_pairs([[1.0, np.nan], [np.nan, 2.0]], ("a", "b"))
    assert (found.pairs, found.left_out) == ((), ("b",))
    nothing = all_pairs([[np.nan, np.nan], [np.nan, np.nan]], ("a", "b"))
    assert (nothing.methods, nothing.means, nothing.tiers) == ((), (), ())


def test_equal_differences_give_no_nan() -> None:
    flat = np.array([[0.1], [0.1], [0.7]]) + 0.3 * np.arange(5)
    found = all_pairs(flat, ("a", "b", "c"))
    assert found.residual_sd == 0
    assert found.tiers == (("c",), ("a", "b"))
    assert found.pair("a", "b").p == 1
    assert found.pair("c", "b").p == 2 / 2**5
    assert found.pair("c", "b").low == pytest.approx(0.6)
    assert "measure no uncertainty" in found.notes[-1]


def test_one_wild_method_moves_to_pairs_on_their_own() -> None:
    names = ("a", "b", "c", "d", "wild")
    found = all_pairs(WILD, names)
    assert found.kind == "tukey, per-pair t"
    assert any("vary too differently" in note for note in found.notes)
    pair = found.pair("a", "wild")
    low, high = stats.ttest_rel(WILD[0], WILD[4]).confidence_interval(1 - 0.025 / 4)
    assert (pair.low, pair.high) == pytest.approx((low, high))
    alone, inside = all_pairs(WILD[:4], names[:4], level=0.975).pair("a", "b"), found.pair("a", "b")
    assert (inside.low, inside.high) == pytest.approx((alone.low, alone.high))
    assert against(WILD, names, "a").kind == "dunnett, per-pair t"
    assert against(WILD, names, "wild").kind == "per-pair t"


def test_at_three_seeds_nobody_can_say_which_method_is_the_wild_one() -> None:
    wild = np.array([[0.0, 0.1, 0.05], [0.1, 0.0, 0.05], [0.05, 0.06, 0.1], [0.0, 0.02, 0.0], [5.0, -6.0, 2.0]])
    assert all_pairs(wild, ("a", "b", "c", "d", "wild")).kind == "per-pair t"


def test_a_wild_method_does_not_blur_the_others() -> None:
    shifted = WILD + np.array([0, 8, 16, 24, 0])[:, None]
    found = all_pairs(shifted, ("a", "b", "c", "d", "wild"))
    assert all(found.pair(*each).separated for each in (("d", "c"), ("c", "b"), ("b", "a")))
    assert not found.pair("wild", "a").separated


def test_constant_controls_beside_noisy_methods() -> None:
    values = np.vstack([np.zeros(5), np.ones(5), EVEN[:2]])
    found = all_pairs(values, ("refuse", "comply", "a", "b"))
    assert np.isfinite([[each.low, each.high, each.p] for each in found.pairs]).all()


def test_p_is_never_below_its_floor_and_does_not_decide() -> None:
    found = all_pairs(EVEN[:, :3], NAMES)
    assert found.p_floor == 0.25
    assert min(each.p for each in found.pairs) == 0.25
    assert any(each.separated for each in found.pairs)


def test_names_and_seeds_must_fit() -> None:
    with pytest.raises(DataError, match="3 names for 4 rows"):
        all_pairs(EVEN, ("a", "b", "c", "c"))
    with pytest.raises(DataError, match="1 seeds for 5 columns"):
        all_pairs(EVEN, NAMES, seeds=(1, 1, 1, 1, 1))
    with pytest.raises(DataError, match="is not methods × seeds"):
        all_pairs(EVEN[0], NAMES)
