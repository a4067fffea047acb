"""Tiers against every maximal set found by trying all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from alignlab.compare.tiers import tiers_of


def by_force(separated: np.ndarray) -> set[frozenset[int]]:
    places = range(len(separated))
    free = [
        frozenset(each)
        for size in range(1, len(separated) + 1)
        for each in itertools.combinations(places, size)
        if not separated[np.ix_(each, each)].any()
    ]
    return {each for each in free if not any(each < other for other in free)}


@pytest.mark.parametrize("seed", range(8))
def test_all_maximal_sets_are_found(seed: int) -> None:
    separated = np.triu(np.random.default_rng(seed).random((8, 8)) < 0.4, 1)
    separated |= separated.T
    found = tiers_of([str(place) for place in range(8)], separated)
    assert {frozenset(map(int, tier)) for tier in found} == by_force(separated)
    assert len(set(found)) == len(found)


def test_overlapping_tiers_best_first() -> None:
    means = np.array([5.0, 4.0, 3.0, 1.0])
    found = tiers_of("abcd", np.abs(means[:, None] - means) > 1.5)
    assert found == (("a", "b"), ("b", "c"), ("d",))


def test_nothing_separated_is_one_tier() -> None:
    assert tiers_of("ab", np.zeros((2, 2), dtype=bool)) == (("a", "b"),)
    assert tiers_of("", np.zeros((0, 0), dtype=bool)) == ()
