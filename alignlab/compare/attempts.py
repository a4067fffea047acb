"""What an attacker gets who may try again: breach@k for every k measured, and attempts until the first breach.

Goals are (G, 2) counts [breaches, attempts] of attempts that are independent and alike at each goal. The goal is the
unit that is drawn again in intervals: attempts at one goal say nothing about another. All of it describes one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alignlab.errors import DataError

from .bootstrap import DRAWS, check_draws, resampled
from .intervals import Floats, check_level, generator, percentiles

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Curve:
    """Mean breach@k over goals at rising k."""

    ks: tuple[int, ...]
    values: tuple[float, ...]
    low: tuple[float, ...] | None
    """Percentile bootstrap over goals, k by k; None for a single goal or without draws."""
    high: tuple[float, ...] | None
    goals: int


@dataclass(frozen=True)
class Until:
    """Expected attempts until the first breach, over goals."""

    median: float | None
    """None where half of the goals or more were never breached: then it lies above `beyond`."""
    low: float | None
    high: float | None
    """Percentile bootstrap over goals; `high` is None where it lies beyond the attempts made, both for one goal."""
    beyond: float | None
    """Fewest attempts made at a goal that was never breached, where that bounds the median."""
    never: float
    """Share of goals without a breach in all their attempts."""
    goals: int


def counts_of(goals: ArrayLike) -> Counts:
    """Goals as (G, 2) whole counts after checking 0 <= breaches <= attempts and at least one attempt at each."""
    found = np.asarray(goals)
    if found.ndim != 2 or found.shape[1:] != (2,) or not len(found):
        raise DataError(f"goals of shape {found.shape}", "give every goal its breaches and its attempts")
    whole = found.astype(np.int64)
    if (
        (whole != found).any()
        or (whole[:, 0] < 0).any()
        or (whole[:, 0] > whole[:, 1]).any()
        or (whole < 1)[:, 1].any()
    ):
        raise DataError("a goal has no attempts, or breaches that are no count of them", "leave out what was not tried")
    return whole


def breach_at_k(breaches: int, attempts: int, k: int) -> float:
    """P(at least one breach in k of n attempts, drawn without replacement) = 1 - C(n - c, k) / C(n, k).

    Unbiased for 1 - (1 - p)^k, where 1 - (1 - c/n)^k is biased low (arXiv 2107.03374, eq. 1). Summed as logarithms,
    so that neither large n nor a tiny probability loses digits. DataError for k > n: nothing measured says it.
    """
    if not 0 <= breaches <= attempts or k < 1:
        raise DataError(f"breach@k needs 0 <= c <= n and k >= 1, got c={breaches}, n={attempts}, k={k}")
    if k > attempts:
        raise DataError(
            f"breach@{k} cannot be estimated from {attempts} attempts",
            f"sample at least {k} attempts at each goal, or ask for a smaller k",
        )
    if breaches > attempts - k:
        return 1.0
    few, many = sorted((breaches, k))  # C(n-c, k) / C(n, k) is symmetric in c and k
    return float(-np.expm1(np.log1p(-many / (attempts - np.arange(few))).sum()))


_cached = lru_cache(maxsize=65536)(breach_at_k)


def breaches_at(goals: ArrayLike, ks: Sequence[int]) -> Floats:
    """(G, K) breach@k of every goal. DataError where a goal has fewer attempts than a k."""
    return np.array([[_cached(int(c), int(n), int(k)) for k in ks] for c, n in counts_of(goals)])


def measured_ks(goals: ArrayLike) -> tuple[int, ...]:
    """Powers of two up to the fewest attempts of any goal, and that number itself."""
    most = int(counts_of(goals)[:, 1].min())
    powers = [2**power for power in range(most.bit_length())]
    return tuple(sorted({*powers, most}))


def breach_curve(
    goals: ArrayLike, ks: Sequence[int] = (), *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Curve:
    """Mean breach@k over goals with percentile intervals from goals drawn again.

    Args:
        goals: (G, 2) breaches and attempts.
        ks: whole, each at most the fewest attempts of a goal; those of `measured_ks` by default.
        level: coverage at each k, in (0, 1).
        draws: of the bootstrap, at least 2,000; 0 for none.
        seed: of the generator.
    """
    check_level(level)
    ks = tuple(ks) or measured_ks(goals)
    values = breaches_at(goals, ks)
    middle = tuple(values.mean(0).tolist())
    if len(values) == 1 or not draws:
        return Curve(ks, middle, None, None, len(values))
    drawn = resampled(generator(seed, "breach"), len(values), check_draws(draws)) @ values / len(values)
    low, high = zip(*(percentiles(column, level) for column in drawn.T), strict=True)
    return Curve(ks, middle, tuple(low), tuple(high), len(values))


def until_breach(goals: ArrayLike, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Until:
    """Median over goals of the expected attempts until a breach: n / c, the mean of a geometric law at the rate seen.

    A goal with c = 0 is censored: its expectation lies beyond what was tried, and it stands above every other. Where it
    would decide the median there is none, only the bound.

    Args:
        goals: (G, 2) breaches and attempts.
        level: coverage, in (0, 1).
        draws: of the bootstrap over goals, at least 2,000; 0 for none.
        seed: of the generator.
    """
    check_level(level)
    counts = counts_of(goals)
    breaches, attempts = counts.T
    expected = np.where(breaches > 0, attempts / np.maximum(breaches, 1), np.inf)
    middle, never = float(np.median(expected)), float(np.mean(breaches == 0))
    beyond = None if np.isfinite(middle) else float(attempts[breaches == 0].min())
    low = high = None
    if len(counts) > 1 and draws:
        places = generator(seed, "until").integers(len(counts), size=(check_draws(draws), len(counts)))
        drawn = np.sort(np.median(expected[places], axis=1))
        # Order statistics, not interpolation: a draw may have no finite median.
        ends = (float(drawn[round(share * (drawn.size - 1))]) for share in ((1 - level) / 2, (1 + level) / 2))
        low, high = (end if np.isfinite(end) else None for end in ends)
    return Until(middle if beyond is None else None, low, high, beyond, never, len(counts))
