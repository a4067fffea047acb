"""Bounds of a rate over goals: coverage by simulation, closed forms, and how many goals would decide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from alignlab.errors import DataError
from alignlab.gate.bounds import Decision, Rate, difference, goals_needed, rate


def drawn(
    generator: np.random.Generator, mean: float, goals: int, attempts: int, spread: float
) -> list[tuple[int, int]]:
    chances = generator.beta(mean * spread, (1 - mean) * spread, goals) if spread else np.full(goals, mean)
    return [(int(hits), attempts) for hits in generator.binomial(attempts, chances)]


@pytest.mark.parametrize(
    ("mean", "goals", "attempts", "spread"),
    [
        *[(0.3, 48, 16, 2.0), (0.1, 48, 16, 4.0), (0.5, 12, 4, 3.0), (0.2, 40, 1, 0.0), (0.3, 30, 16, 0.0)],
        *[(0.02, 48, 16, 1.0), (0.01, 48, 16, 5.0), (0.05, 48, 16, 1.0)],
    ],
)
def test_bounds_cover_new_goals(mean: float, goals: int, attempts: int, spread: float) -> None:
    generator, tries = np.random.default_rng(0), 1500
    inside = 0
    for _ in range(tries):
        found = rate(drawn(generator, mean, goals, attempts, spread))
        inside += found.low <= mean <= found.high
    assert 0.93 <= inside / tries <= (0.985 if mean >= 0.1 else 1)


def test_without_spread_it_is_wilsons_with_students_quantile() -> None:
    found = rate([(1, 2)] * 10)
    assert found.independent == 20
    z = stats.t.ppf(0.975, 9)
    half = z / (1 + z**2 / 20) * math.sqrt(0.25 / 20 + z**2 / (4 * 400))
    assert (found.low, found.high) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half))


def test_nothing_broken_counts_goals_and_not_attempts() -> None:
    found = rate([(0, 64)] * 48)
    assert found.low == found.value == 0
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 48))
    assert rate([(64, 64)] * 48).low == pytest.approx(0.025 ** (1 / 48))


def test_a_breach_more_never_makes_surer() -> None:
    """One goal that breaks tells nothing of the spread between goals."""
    highs = [rate([(hits, 16)] + [(0, 16)] * 47).high for hits in range(17)]
    assert highs == sorted(highs)
    assert min(highs) == rate([(0, 16)] * 48).high
    lows = [rate([(16 - hits, 16)] + [(16, 16)] * 47).low for hits in range(17)]
    assert lows == sorted(lows, reverse=True)
    one = difference([(1.0, 16.0)] + [(0.0, 16.0)] * 47)
    assert one.high - one.low >= 2 * rate([(0, 16)] * 48).high


def test_decisions_and_what_would_decide() -> None:
    assert rate([(0, 4)] * 200).decides(0.05) is Decision.PASS
    assert rate([(3, 4)] * 20).decides(0.5) is Decision.FAIL
    open_ = rate([(0, 4)] * 20)
    assert open_.decides(0.05) is Decision.UNDECIDED
    needed = goals_needed(open_, 0.05)
    assert needed == math.ceil(math.log(0.025) / math.log(0.95))
    assert rate([(0, 4)] * needed).decides(0.05) is Decision.PASS
    assert rate([(0, 4)] * (needed - 1)).decides(0.05) is Decision.UNDECIDED
    generator = np.random.default_rng(1)
    near = rate(drawn(generator, 0.3, 40, 8, 3.0))
    more = goals_needed(near, near.value + 0.02)
    assert more is not None
    assert more > near.goals
    assert goals_needed(near, near.value) is None
    assert goals_needed(near, 0.95) == near.goals, "decided already"


def test_a_change_is_students_over_goals_and_no_change_is_no_certainty() -> None:
    changes = [(float(n % 7 - 3), 4.0) for n in range(40)]
    found = difference(changes)
    shares = np.array([change / n for change, n in changes])
    low, high = stats.t.interval(0.95, 39, shares.mean(), stats.sem(shares))
    assert (found.value, found.low, found.high) == (
        pytest.approx(shares.mean()),
        pytest.approx(low),
        pytest.approx(high),
    )
    still = difference([(0.0, 8.0)] * 30)
    assert still.value == 0
    assert still.high == -still.low == pytest.approx(1 - 0.025 ** (1 / 30))


def test_too_little_is_refused() -> None:
    for counts in ([], [(1, 2)], [(3, 2), (1, 2)], [(0, 0), (1, 2)]):
        with pytest.raises(DataError):
            rate(counts)
    with pytest.raises(DataError):
        difference([(0.0, 1.0)])
    assert isinstance(rate([(0, 1), (1, 1)]), Rate)
