"""Whether all methods vary alike from seed to seed, which a pooled residual takes for granted.

The plain rule, largest residual sd above three times the smallest, says at three seeds and ten equal methods that they
differ in 94 of 100 experiments: two degrees of freedom leave the smallest of ten sds near 0. Here the ratio counts only
where a test of equal variances agrees. Its statistic is the sum of squared shares of the residual sum of squares
(John's locally best invariant form), its null distribution is drawn for the K and S at hand, since residuals of a block
design are correlated, and it finds one wild method or a wild half about as often as the better of Cochran's C and
Bartlett's test.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RATIO = 3.0
LEVEL = 0.05
DRAWS = 9_999
ALIKE = 0.25
"""p from which rows that are left, after others were taken out, count as varying alike."""
SEEDS = 5
"""Seeds below which spreads are too poorly known to say which rows are the odd ones."""
FEWEST = 3
"""Rows below which there is no spread to compare."""


@dataclass(frozen=True)
class Spread:
    """Standard deviation of each method around method + seed, and whether they are too far apart to pool."""

    sd: tuple[float, ...]
    """Unbiased in the square (Shukla 1972), 0 where that estimate is negative; in order of the rows."""
    p: float
    """Of equal variances, for normal residuals."""
    uneven: bool


def calm(values: Floats) -> NDArray[np.bool_]:
    """The rows (K,) of a table that vary alike, once those that do not are taken out one by one.

    Out goes the row of largest or of smallest spread, whichever leaves the others more alike, until the test of equal
    variances is far from objecting: merely not rejecting, after rows were chosen to go, would be too easy. All rows
    where it never objected; none where more than a fifth would have to go, since then there is no common spread to
    speak of, or where fewer than five seeds could not show it.
    """
    kept = np.arange(len(values))
    found = spread_of(values)
    while found.uneven or (kept.size < len(values) and found.p < ALIKE):
        if values.shape[1] < SEEDS or kept.size <= max(FEWEST, len(values) - max(1, len(values) // 5)):
            return np.zeros(len(values), dtype=bool)
        ends = (int(np.argmax(found.sd)), int(np.argmin(found.sd)))  # of equal p, which has a floor, the first counts
        tries = {place: spread_of(values[np.delete(kept, place)]) for place in ends}
        place = max(tries, key=lambda each: tries[each].p)
        kept, found = np.delete(kept, place), tries[place]
    return np.isin(np.arange(len(values)), kept)


def residuals(values: Floats) -> Floats:
    """What method + seed leaves over, for tables (..., K, S) without gaps."""
    return np.asarray(
        values - values.mean(-1, keepdims=True) - values.mean(-2, keepdims=True) + values.mean((-2, -1), keepdims=True)
    )


def _statistic(squares: Floats) -> Floats:
    """Sum of squared shares (...,) of sums of squares (..., K); between 1/K and 1."""
    return np.asarray((squares**2).sum(-1) / squares.sum(-1) ** 2)


@lru_cache(maxsize=256)
def _null(methods: int, seeds: int) -> Floats:
    """Sorted statistic of normal tables whose methods vary alike; the generator is fixed by the shape."""
    rng = np.random.default_rng([methods, seeds])
    parts = [rng.standard_normal((part, methods, seeds)) for part in (5_000, DRAWS - 5_000)]
    return np.sort(np.concatenate([_statistic((residuals(part) ** 2).sum(-1)) for part in parts]))


def spread_of(values: Floats) -> Spread:
    """Compare the residual spread of K ≥ 3 methods over S ≥ 2 seeds; with two methods there is nothing to compare.

    Args:
        values: (K, S) without gaps, with residuals that are not all zero.
    """
    methods, seeds = values.shape
    squares = (residuals(values) ** 2).sum(-1)
    scale = (seeds - 1) * (methods - 1) * (methods - 2)
    variances = np.maximum((methods * (methods - 1) * squares - squares.sum()) / scale, 0.0)
    null = _null(methods, seeds)
    beyond = null.size - int(np.searchsorted(null, _statistic(squares), side="left"))
    p = (beyond + 1) / (null.size + 1)
    apart = float(variances.max()) > RATIO**2 * float(variances.min())
    return Spread(tuple(float(sd) for sd in np.sqrt(variances)), p, apart and p <= LEVEL)
