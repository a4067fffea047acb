"""Two thousand experiments at a time: intervals cover what they claim, and equal methods are rarely told apart.

Every experiment has a strong effect of the seed that all methods share. Bounds are those of the requirement: 93 to 97
for 95 % coverage, 3.5 to 6.5 for false differences; the error of 2,000 draws is 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from alignlab.compare.blocks import Comparison, against, all_pairs
from alignlab.compare.intervals import mean_interval, sign_flip

EXPERIMENTS = 2_000
SEEDS = (3, 5, 8)
TEN = tuple("abcdefghij")
pytestmark = pytest.mark.slow


def tables(methods: int, seeds: int) -> Iterator[np.ndarray]:
    """Figures (K, S) of equal methods: strong seed effect + noise, one experiment after the other."""
    rng = np.random.default_rng([methods, seeds])
    for _ in range(EXPERIMENTS):
        yield rng.normal(size=(methods, seeds)) + 4 * rng.normal(size=seeds)


def covers(found: Comparison) -> bool:
    """Whether all intervals hold the true difference 0; that they move with the means is a test of blocks."""
    return all(each.low <= 0 <= each.high for each in found.pairs)


@pytest.mark.parametrize("seeds", SEEDS)
def test_one_mean_is_covered(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    found = [mean_interval(2 + 3 * rng.normal(size=seeds)) for _ in range(EXPERIMENTS)]
    assert 0.93 <= np.mean([each.low <= 2 <= each.high for each in found]) <= 0.97


@pytest.mark.parametrize("seeds", SEEDS)
def test_one_method_under_two_names(seeds: int) -> None:
    found = [all_pairs(each, ("a", "b")) for each in tables(2, seeds)]
    assert 0.93 <= np.mean([covers(each) for each in found]) <= 0.97
    assert 0.035 <= np.mean([each.pairs[0].separated for each in found]) <= 0.065


@pytest.mark.parametrize("seeds", SEEDS)
def test_ten_equal_methods_are_one_tier(seeds: int) -> None:
    """All 45 intervals at once, with the check for uneven spread at work: it takes its share to per-pair t."""
    found = [all_pairs(each, TEN) for each in tables(10, seeds)]
    assert 0.93 <= np.mean([covers(each) for each in found]) <= 0.97
    assert 0.035 <= np.mean([len(each.tiers) > 1 for each in found]) <= 0.065
    kinds = {each.kind for each in found}
    assert kinds - {"tukey, per-pair t"} == {"tukey", "per-pair t"}
    assert ("tukey, per-pair t" in kinds) is (seeds >= 5)
    assert min(pair.p for each in found for pair in each.pairs) >= 2 / 2**seeds


@pytest.mark.parametrize("wild", [1, 2])
def test_wild_methods_among_ten(wild: int) -> None:
    """Five seeds, one method of five times or two of eight times the spread: all 45 intervals at once."""
    scale = np.array([(5, 8)[wild - 1]] * wild + [1] * (10 - wild))[:, None]
    rng = np.random.default_rng(wild)
    drawn = (rng.normal(size=(10, 5)) * scale + 4 * rng.normal(size=5) for _ in range(EXPERIMENTS // 2))
    found = [all_pairs(each, TEN) for each in drawn]
    assert 0.9 <= np.mean([covers(each) for each in found]) <= 0.98
    assert sum(each.kind == "tukey, per-pair t" for each in found) > EXPERIMENTS // 5


def test_nine_methods_against_a_baseline() -> None:
    found = [against(each, TEN, "a") for each in tables(10, 5)]
    assert 0.035 <= np.mean([any(pair.separated for pair in each.pairs) for each in found]) <= 0.065


@pytest.mark.parametrize("seeds", [6, 8])
def test_sign_flip_keeps_its_level_and_its_floor(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    p = np.array([sign_flip(rng.standard_cauchy(seeds)) for _ in range(EXPERIMENTS)])
    assert p.min() >= 2 / 2**seeds
    exact = np.floor(0.05 * 2**seeds / 2) * 2 / 2**seeds
    assert np.mean(p <= 0.05) == pytest.approx(exact, abs=0.015)
