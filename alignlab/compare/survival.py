"""How long a policy holds under pressure: Kaplan-Meier's S(t) over turns, its intervals, the hazard of each turn.

A conversation ends in a breach at some turn or is censored at the last turn played: it may have broken later. Both
count as under pressure up to and including their last turn. Several conversations about one goal are not independent:
intervals then draw goals again. They are those of one run; what another seed would do is for who has several.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from alignlab.errors import DataError

from .bootstrap import DRAWS, check_draws, resampled
from .intervals import Floats, check_level, clopper_pearson, generator, percentiles


@dataclass(frozen=True)
class Survival:
    """S(t) = P(no breach through turn t) at every turn from 1 to the last played."""

    turns: tuple[int, ...]
    survival: tuple[float, ...]
    """In [0, 1], falling."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    """Greenwood's interval on log(-log S), or by goals; exact binomial where S is 1 or 0, where those have no width."""
    hazard: tuple[float, ...]
    """P(breach at turn t | none before) = breaches / at risk."""
    hazard_low: tuple[float, ...]
    hazard_high: tuple[float, ...]
    """Clopper-Pearson, or by goals."""
    at_risk: tuple[int, ...]
    """Conversations that reached the turn without a breach."""
    breaches: tuple[int, ...]
    censored: tuple[int, ...]
    """Conversations that ended at the turn without a breach."""


def kaplan_meier(
    turns: Sequence[int],
    breached: Sequence[bool],
    goals: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Survival:
    """Kaplan and Meier's estimate (1958) of surviving turns, with Greenwood's variance on log(-log S).

        S(t) = prod_{u <= t} (1 - d_u / n_u),  Var[log(-log S)] = sum_{u <= t} d_u / (n_u (n_u - d_u)) / (log S)^2

    Where nothing broke by t, the lower end is exact for the n_t conversations that got there. Where all that were left
    broke at t, the upper end is that of the turn before times the exact one of that turn. Both are cautious.

    Where goals repeat, intervals are percentiles from goals drawn again, and exact ones count goals.

    Args:
        turns: (N,) turn of the breach, or the last turn played; at least 1.
        breached: (N,) whether it ended in a breach; else it is censored.
        goals: (N,) what each was about; every one its own by default.
        level: coverage of the interval at each turn, in (0, 1).
        draws: of goals, at least 2,000.
        seed: of the generator.

    Raises:
        DataError: no conversation, a turn below 1, or different lengths.
    """
    check_level(level)
    last, broke = np.asarray(turns, dtype=np.int64), np.asarray(breached, dtype=bool)
    if not last.size or last.shape != broke.shape:
        raise DataError(f"{last.size} last turns and {broke.size} outcomes", "give every conversation both")
    if last.min() < 1:
        raise DataError(f"a conversation ended at turn {last.min()}", "the plain request is turn 1")
    grid = np.arange(1, int(last.max()) + 1)
    at_risk = (last[:, None] >= grid).sum(0)
    breaches = (broke[:, None] & (last[:, None] == grid)).sum(0)
    hazard = breaches / at_risk
    survival = np.cumprod(1 - hazard)
    tables = _by_goal(last, broke, grid, goals)
    if tables is None:
        low, high = _ends(survival, at_risk, breaches, level)
        spans = [clopper_pearson(int(d), int(n), level) for d, n in zip(breaches, at_risk, strict=True)]
    else:
        weights = resampled(generator(seed, "survival"), len(tables[0]), check_draws(draws))
        low, high, spans = _drawn(survival, tables, weights, level)
    return Survival(
        turns=tuple(grid.tolist()),
        survival=tuple(survival.tolist()),
        low=tuple(low),
        high=tuple(high),
        hazard=tuple(hazard.tolist()),
        hazard_low=tuple(span[0] for span in spans),
        hazard_high=tuple(span[1] for span in spans),
        at_risk=tuple(at_risk.tolist()),
        breaches=tuple(breaches.tolist()),
        censored=tuple((~broke[:, None] & (last[:, None] == grid)).sum(0).tolist()),
    )


def _ends(survival: Floats, at_risk: Floats, breaches: Floats, level: float) -> tuple[list[float], list[float]]:
    z = float(special.ndtri(0.5 + level / 2))
    low: list[float] = []
    high: list[float] = []
    greenwood = 0.0
    for value, n, d in zip(survival.tolist(), at_risk.tolist(), breaches.tolist(), strict=True):
        if value == 1:
            low.append(1 - clopper_pearson(0, n, level)[1])
            high.append(1.0)
        elif n == d or value == 0:
            before = high[-1] if high else 1.0
            low.append(0.0)
            high.append(before * clopper_pearson(0, n, level)[1] if n == d else before)
        else:
            greenwood += d / (n * (n - d))
            stretch = np.exp(z * greenwood**0.5 / abs(np.log(value)))
            low.append(float(value**stretch))
            high.append(float(value ** (1 / stretch)))
    return low, high


def _by_goal(
    last: NDArray[Any], broke: NDArray[Any], grid: NDArray[Any], goals: Sequence[Hashable] | None
) -> tuple[Floats, Floats] | None:
    """At risk and breaches of every goal and turn, two (G, T); None where each conversation has a goal of its own."""
    if goals is None or len(set(goals)) == len(goals):
        return None
    if len(goals) != len(last):
        raise DataError(f"{len(last)} last turns and {len(goals)} goals", "give every conversation both")
    names = {name: place for place, name in enumerate(dict.fromkeys(goals))}
    if len(names) == 1:
        return None
    which = np.array([names[name] for name in goals])
    at_risk, breaches = np.zeros((len(names), grid.size)), np.zeros((len(names), grid.size))
    np.add.at(at_risk, which, last[:, None] >= grid)
    np.add.at(breaches, which, broke[:, None] & (last[:, None] == grid))
    return at_risk, breaches


def _drawn(
    survival: Floats, tables: tuple[Floats, Floats], weights: Floats, level: float
) -> tuple[list[float], list[float], list[tuple[float, float]]]:
    """Ends of survival and of the hazard from draws of goals; exact ones by goals where those have no width."""
    at_risk, breaches = (weights @ table for table in tables)
    hazard = breaches / np.maximum(at_risk, 1)
    lines = np.cumprod(1 - hazard, axis=1)
    reached = [int(count) for count in (tables[0] > 0).sum(0)]
    low: list[float] = []
    high: list[float] = []
    spans: list[tuple[float, float]] = []
    for place, (value, goals) in enumerate(zip(survival.tolist(), reached, strict=True)):
        ends = percentiles(lines[:, place], level)
        low.append(1 - clopper_pearson(0, goals, level)[1] if value == 1 else ends[0])
        high.append((high[-1] if high else 1.0) * clopper_pearson(0, goals, level)[1] if value == 0 else ends[1])
        broke = tables[1][:, place].sum() / tables[0][:, place].sum()
        exact = broke in (0, 1)
        spans.append(clopper_pearson(broke * goals, goals, level) if exact else percentiles(hazard[:, place], level))
    return low, high, spans
