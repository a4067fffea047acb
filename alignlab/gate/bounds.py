"""Bounds on a rate over goals, and what they decide about a limit. Pure functions of counts.

The goal is the unit: attempts at one goal say little about another, so that the interval is one for new goals of the
same kind. It is Wilson's at as many independent attempts as explain the spread between goals (Kish's design effect),
with the quantile of Student's t for that many goals, and never narrower than Clopper and Pearson's for no breach, or
nothing but breaches, with one attempt a goal: a goal or two that broke tell nothing of the spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from scipy import stats

from alignlab.compare.intervals import clopper_pearson, score_interval
from alignlab.errors import DataError

Counts = Sequence[tuple[float, float]]
"""(hits, attempts) of each goal; a figure that is one number a goal is (number, 1)."""
MOST = 1_000_000
"""More goals than this are not asked for."""


class Decision(StrEnum):
    """What the bounds say about a limit."""

    PASS = "pass"  # the upper bound is within it
    FAIL = "fail"  # the lower bound is beyond it
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Rate:
    """A rate with its bounds at a level of confidence."""

    value: float
    low: float
    high: float
    goals: int
    attempts: float
    independent: float
    """Attempts at different goals that would say as much."""

    def decides(self, limit: float) -> Decision:
        """Whether the rate is within a limit."""
        if self.high <= limit:
            return Decision.PASS
        return Decision.FAIL if self.low > limit else Decision.UNDECIDED


def rate(counts: Counts, level: float = 0.95) -> Rate:
    """Hits over attempts, with two-sided bounds for new goals of the same kind. DataError for fewer than two goals."""
    if len(counts) < 2 or any(n <= 0 or not 0 <= hits <= n for hits, n in counts):
        raise DataError(
            f"a rate needs two goals with attempts at least, got {len(counts)}",
            "attack more goals: evaluation.goals=48",
        )
    goals, attempts = len(counts), math.fsum(n for _, n in counts)
    value = math.fsum(hits for hits, _ in counts) / attempts
    if value in (0.0, 1.0):
        return _bounded(value, goals, goals, attempts, level)
    spread = math.fsum((hits - value * n) ** 2 for hits, n in counts)
    variance = goals / (goals - 1) * spread / attempts**2
    independent = min(attempts, value * (1 - value) / variance) if variance else attempts
    return _bounded(value, independent, goals, attempts, level)


def _bounded(value: float, independent: float, goals: int, attempts: float, level: float) -> Rate:
    # A goal or two that broke say little of the spread between goals: never surer than if none had, or all.
    low, high = clopper_pearson(goals, goals, level)[0], clopper_pearson(0, goals, level)[1]
    if value == 0:
        low = 0.0
    elif value == 1:
        high = 1.0
    else:
        own = score_interval(value, independent, float(stats.t.ppf(0.5 + level / 2, goals - 1)))
        low, high = min(low, own[0]), max(high, own[1])
    return Rate(value, low, high, goals, attempts, independent)


def goals_needed(found: Rate, limit: float, level: float = 0.95) -> int | None:
    """How many goals in all would decide, if the rate and the spread between goals stay as they are.

    None where it stands at the limit, or more than a million would be needed.
    """

    def decided(goals: int) -> bool:
        grown = goals / found.goals
        bounded = _bounded(found.value, found.independent * grown, goals, found.attempts * grown, level)
        return bounded.decides(limit) is not Decision.UNDECIDED

    if found.value == limit or not decided(MOST):
        return None
    few, many = found.goals, MOST
    while few < many:
        middle = (few + many) // 2
        few, many = (few, middle) if decided(middle) else (middle + 1, many)
    return many


def difference(changes: Sequence[tuple[float, float]], level: float = 0.95) -> Rate:
    """Mean of paired changes over goals, each (sum of changes, pairs), by Student's t over goals; in [-1, 1].

    Never narrower than Clopper and Pearson's for a share of goals that change where none did, in either direction.
    """
    if len(changes) < 2:
        raise DataError(f"a change needs two goals at least, got {len(changes)}", "attack more goals")
    goals, pairs = len(changes), math.fsum(n for _, n in changes)
    value = math.fsum(change for change, _ in changes) / pairs
    variance = goals / (goals - 1) * math.fsum((change - value * n) ** 2 for change, n in changes) / pairs**2
    least = clopper_pearson(0, goals, level)[1]
    half = max(least, float(stats.t.ppf(0.5 + level / 2, goals - 1)) * math.sqrt(variance))
    return Rate(value, max(-1.0, value - half), min(1.0, value + half), goals, pairs, goals)
