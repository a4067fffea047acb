"""Attempts: breach@k against counting, planted laws recovered, what is degenerate said in words."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from scipy import special

from alignlab.compare.attempts import breach_at_k, breach_curve, breaches_at, measured_ks, until_breach
from alignlab.compare.laws import beta_binomial, fit_power, power_law
from alignlab.errors import DataError


def planted(a: float, b: float, goals: int, attempts: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.binomial(attempts, rng.beta(a, b, goals)), np.full(goals, attempts)], axis=1)


def test_breach_at_k_counts_subsets() -> None:
    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                hit = [any(i < c for i in chosen) for chosen in combinations(range(n), k)]
                assert breach_at_k(c, n, k) == pytest.approx(sum(hit) / len(hit))


def test_large_n_loses_no_digits() -> None:
    assert breach_at_k(1, 10**9, 7) == pytest.approx(7e-9, rel=1e-12)
    exact = 1 - math.exp(math.lgamma(4001) - math.lgamma(3001) + math.lgamma(4001) - math.lgamma(5001))
    assert breach_at_k(1000, 5000, 1000) == pytest.approx(exact)


@pytest.mark.parametrize(("c", "n", "k"), [(1, 10**9, 3), (7, 10**6, 500), (400, 10**6, 9), (3, 2000, 1500)])
def test_breach_at_k_keeps_its_digits_for_large_n(c: int, n: int, k: int) -> None:
    miss = Fraction(1)
    for i in range(min(c, k)):
        miss *= Fraction(n - max(c, k) - i, n - i)
    assert breach_at_k(c, n, k) == pytest.approx(float(1 - miss), rel=1e-12)


def test_breach_at_k_is_unbiased_where_the_plug_in_is_not() -> None:
    p, n, k = 0.07, 12, 5
    weights = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    truth = 1 - (1 - p) ** k
    mean = sum(w * breach_at_k(c, n, k) for c, w in enumerate(weights))
    plug_in = sum(w * (1 - (1 - c / n) ** k) for c, w in enumerate(weights))
    assert mean == pytest.approx(truth, abs=1e-14)
    assert plug_in < truth - 0.005


@pytest.mark.parametrize(
    ("c", "n", "k", "message"),
    [
        (1, 4, 5, r"breach@5 cannot be estimated from 4 attempts"),
        (5, 4, 1, r"0 <= c <= n and k >= 1, got c=5, n=4, k=1"),
        (-1, 4, 1, r"got c=-1"),
        (0, 4, 0, r"got c=0, n=4, k=0"),
    ],
)
def test_breach_at_k_refuses_what_it_cannot_know(c: int, n: int, k: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        breach_at_k(c, n, k)


def test_curve_rises_and_refuses_more_than_was_tried() -> None:
    goals = planted(0.5, 4, 30, 48)
    found = breach_curve(goals)
    assert found.ks == (1, 2, 4, 8, 16, 32, 48)
    assert list(found.values) == sorted(found.values)
    assert all(low <= value <= high for low, value, high in zip(found.low, found.values, found.high, strict=True))
    assert found.values[0] == pytest.approx(goals[:, 0].sum() / goals[:, 1].sum())
    with pytest.raises(DataError, match="breach@49 cannot be estimated from 48"):
        breaches_at(goals, [49])
    assert measured_ks([[0, 5], [1, 3]]) == (1, 2, 3)
    assert breach_curve([[1, 4]]).low is None


@pytest.mark.parametrize("goals", [[], [[1, 0]], [[3, 2]], [[-1, 2]], [[0.5, 2]], [1, 2]])
def test_what_is_no_count_is_refused(goals: list) -> None:
    with pytest.raises(DataError, match="goal"):
        breach_curve(goals)


def test_curve_interval_is_that_of_goals_not_of_attempts() -> None:
    """Goals that always or never fall: the interval has the width of 200 coins, however many attempts there are."""
    goals = [[400, 400]] * 100 + [[0, 400]] * 100
    found = breach_curve(goals, (1,))
    assert found.high[0] - found.low[0] == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 200), abs=0.01)


def test_attempts_until_breach() -> None:
    found = until_breach([[8, 16], [4, 16], [1, 16], [0, 16]])
    assert found.median == pytest.approx((4 + 16) / 2)
    assert found.never == 0.25
    assert found.beyond is None
    assert found.low is not None
    assert found.high is None, "half of the draws of goals may hold a goal that never fell"
    held = until_breach([[0, 16], [0, 8], [1, 16]])
    assert held.median is None
    assert held.beyond == 8
    assert held.never == pytest.approx(2 / 3)
    assert until_breach([[2, 4]]).low is None


def test_power_law_is_recovered() -> None:
    ks = np.array([1, 2, 4, 8, 16, 32, 64])
    found = fit_power(ks, np.exp(-2.5 * ks**-0.4)[None])
    assert found[0] == pytest.approx([2.5, 0.4])
    with pytest.raises(DataError, match="strictly between"):
        fit_power(ks, np.ones((1, 7)))


def test_power_law_of_counts_rises_and_misses_little() -> None:
    found = power_law(planted(0.3, 4, 60, 64), ks=(1, 64, 256, 1024))
    assert not found.reason
    assert found.b > 0
    assert list(found.values) == sorted(found.values)
    assert all(low <= value <= high for low, value, high in zip(found.low, found.values, found.high, strict=True))
    assert found.misfit < 0.1
    assert found.reach == 64


@pytest.mark.parametrize(("a", "b"), [(0.3, 4.0), (2.0, 2.0), (1.0, 30.0)])
def test_planted_beta_is_recovered_and_its_interval_holds_it(a: float, b: float) -> None:
    found = beta_binomial(planted(a, b, 4000, 64), ks=(1, 256))
    assert found.a == pytest.approx(a, rel=0.1)
    assert found.b == pytest.approx(b, rel=0.1)
    truth = 1 - special.beta(a, b + 256) / special.beta(a, b)
    assert found.values[1] == pytest.approx(truth, abs=0.02)
    assert found.low[1] <= truth <= found.high[1]
    assert found.a_interval[0] < found.a < found.a_interval[1]


def test_beta_intervals_cover_over_goals() -> None:
    """Nominal 95 % for breach@256 from 40 goals of 32 attempts; the percentile bootstrap is a little narrow."""
    truth, hits = 1 - special.beta(0.6, 6 + 256) / special.beta(0.6, 6), 0
    for seed in range(100):
        found = beta_binomial(planted(0.6, 6, 40, 32, seed), ks=(256,))
        hits += found.low[0] <= truth <= found.high[0]
    assert 85 <= hits <= 99


def test_goals_that_fall_alike_give_the_law_of_one_rate() -> None:
    found = beta_binomial([[4, 16]] * 50, ks=(1, 8, 256), draws=0)
    assert found.values[1] == pytest.approx(1 - 0.75**8, abs=0.01)
    assert any("alike" in note for note in found.notes)
    split = beta_binomial([[0, 64]] * 30 + [[64, 64]] * 10, ks=(1024,), draws=0)
    assert split.values[0] == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("law", [power_law, beta_binomial])
@pytest.mark.parametrize(
    ("goals", "why"),
    [([[0, 16]] * 5, "no attempt"), ([[16, 16]] * 5, "every attempt"), ([[3, 16]], "single goal")],
)
def test_what_has_no_law_says_why(law: object, goals: list, why: str) -> None:
    found = law(goals)
    assert found.a is None
    assert found.values == ()
    assert why in found.reason


def test_too_few_attempts_for_a_curve() -> None:
    assert "at least 3" in power_law([[1, 2], [0, 2]]).reason
    assert "nearly every goal" in power_law([[15, 16], [14, 16], [16, 16]]).reason
