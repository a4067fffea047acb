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


@dataclass(frozen=True)
class Spread:
    """Standard deviation of each method around method + seed, and whether they are too far apart to pool."""

    sd: tuple[float, ...]
    """Unbiased in the square (Shukla 1972), 0 where that estimate is negative; in order of the rows."""
    p: float
    """Of equal variances, for normal residuals."""
    uneven: bool


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
