"""One figure over several worlds or conditions (arXiv 2108.13264).

Scores must be in one unit over worlds before they are pooled, such as the share of the gap between the SFT policy and
the best attainable. The interquartile mean keeps the middle half of all runs: less noisy than a median, and unlike a
mean not decided by one world where everything is easy. Intervals resample seeds inside each world.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from alignlab.errors import DataError

from .bootstrap import DRAWS, check_draws
from .intervals import Estimate, Floats, check_level, few_seeds, generator, percentiles


def _worlds(scores: Sequence[ArrayLike]) -> list[Floats]:
    worlds = [np.asarray(each, dtype=np.float64).ravel() for each in scores]
    if not worlds or not all(each.size and np.isfinite(each).all() for each in worlds):
        raise DataError("a world has no score, or one that is not finite", "leave it out for all methods, and say so")
    return worlds


def interquartile_mean(scores: Sequence[ArrayLike]) -> float:
    """Mean of the middle half of all runs pooled over worlds; a quarter is cut at each end, rounded down.

    Args:
        scores: (W,) arrays (S_w,), one a world.
    """
    return float(_middle(np.concatenate(_worlds(scores))))


def _middle(pooled: Floats) -> Floats:
    """Interquartile means (...,) of scores (..., N)."""
    size = pooled.shape[-1]
    cut = size // 4
    return np.asarray(np.sort(pooled, axis=-1)[..., cut : size - cut].mean(-1))


def _draw(worlds: list[Floats], rng: np.random.Generator, draws: int) -> list[Floats]:
    """Runs drawn with replacement inside each world: (W,) arrays (draws, S_w)."""
    return [each[rng.integers(each.size, size=(draws, each.size))] for each in worlds]


def interquartile_interval(
    scores: Sequence[ArrayLike], level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Estimate:
    """Interquartile mean with the percentile interval of a bootstrap stratified by world.

    Args:
        scores: (W,) arrays (S_w,), one a world, of at least two runs.
        level: coverage of the interval, in (0, 1).
        draws: at least 2,000.
        seed: of the generator.
    """
    worlds = _worlds(scores)
    value, fewest = interquartile_mean(scores), min(each.size for each in worlds)
    if fewest == 1:
        return Estimate(value, None, None, sum(each.size for each in worlds), "none", notes=few_seeds(1))
    drawn = np.concatenate(_draw(worlds, generator(seed, "iqm"), check_draws(draws)), axis=1)
    low, high = percentiles(_middle(drawn), level)
    return Estimate(value, low, high, drawn.shape[1], "bootstrap inside worlds", notes=few_seeds(fewest))


def probability_of_improvement(
    first: Sequence[ArrayLike], second: Sequence[ArrayLike], level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Estimate:
    """P(a run of the first beats one of the second) + ½ P(tie), averaged over worlds, with a stratified bootstrap.

    Args:
        first: (W,) arrays of runs of one method, one a world.
        second: (W,) arrays of runs of the other on the same worlds; numbers of runs may differ.
        level: coverage of the interval, in (0, 1).
        draws: at least 2,000.
        seed: of the generator.
    """
    check_level(level)
    ours, theirs = _worlds(first), _worlds(second)
    if len(ours) != len(theirs):
        raise DataError(f"{len(ours)} worlds against {len(theirs)}", "compare on the same worlds, in the same order")
    value = float(np.mean([_beats(a[None], b[None])[0] for a, b in zip(ours, theirs, strict=True)]))
    runs, fewest = sum(each.size for each in (*ours, *theirs)), min(each.size for each in (*ours, *theirs))
    if fewest == 1:
        return Estimate(value, None, None, runs, "none", notes=few_seeds(1))
    rng = generator(seed, "improvement")
    pairs = zip(_draw(ours, rng, check_draws(draws)), _draw(theirs, rng, draws), strict=True)
    low, high = percentiles(np.mean([_beats(a, b) for a, b in pairs], axis=0), level)
    return Estimate(value, low, high, runs, "bootstrap inside worlds", notes=few_seeds(fewest))


def _beats(first: Floats, second: Floats) -> Floats:
    """Share (D,) of pairs of runs (D, n) and (D, m) that the first wins, ties counting half."""
    return np.asarray((0.5 + 0.5 * np.sign(first[:, :, None] - second[:, None, :])).mean((1, 2)))


def performance_profile(scores: Sequence[ArrayLike], thresholds: ArrayLike) -> Floats:
    """Share of runs whose score exceeds each threshold, every world weighing the same.

    Args:
        scores: (W,) arrays (S_w,), one a world.
        thresholds: (T,).

    Returns:
        (T,) shares, falling in the threshold.
    """
    marks = np.asarray(thresholds, dtype=np.float64)
    return np.asarray(np.mean([(each[:, None] > marks).mean(0) for each in _worlds(scores)], axis=0))


def profile_band(
    scores: Sequence[ArrayLike], thresholds: ArrayLike, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> tuple[Floats, Floats]:
    """Pointwise percentile band (T,) and (T,) of a performance profile, by a bootstrap stratified by world."""
    marks = np.asarray(thresholds, dtype=np.float64)
    drawn = _draw(_worlds(scores), generator(seed, "profile"), check_draws(draws))
    shares = np.mean([[(each > mark).mean(1) for mark in marks] for each in drawn], axis=0)
    tail = 50 * (1 - check_level(level))
    low, high = np.percentile(shares, [tail, 100 - tail], axis=1)
    return low, high
