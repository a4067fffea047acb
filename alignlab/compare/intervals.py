"""Intervals for one number: over seeds by Student's t, for proportions by Wilson and Clopper-Pearson.

The seed is the unit of replication: a figure of one run carries only the error of its prompts, and says so.
Missing values are counted and left out; what cannot be computed is None with a note, never NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from alignlab.errors import ConfigError, DataError

Floats = NDArray[np.float64]
SEEDS = 5
"""Seeds from which an interval over seeds is more than indicative."""
ONE_RUN = "One run: the interval holds the error of its prompts, not that of another seed."
EXACT_SEEDS = 16
"""Most seeds for which the sign-flip test enumerates every pattern of signs."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval and how that was made."""

    value: float
    low: float | None
    high: float | None
    n: int
    """Independent units behind the interval: seeds, or trials of one run."""
    kind: str
    """Name of the interval, such as `t over seeds`."""
    missing: int = 0
    """Units that had no value and were left out."""
    notes: tuple[str, ...] = ()


def check_level(level: float) -> float:
    """Return a confidence level after checking that it lies strictly between 0 and 1."""
    if not 0 < level < 1:
        raise ConfigError(f"a confidence level of {level} is not between 0 and 1", "0.95 is the usual choice")
    return level


def finite(values: ArrayLike, what: str) -> Floats:
    """Return an array of floats after checking that it has values and that all are finite."""
    array = np.asarray(values, dtype=np.float64)
    if not array.size or not np.isfinite(array).all():
        raise DataError(f"{what}: empty, or with values that are not finite", "leave failed runs out and count them")
    return array


def few_seeds(seeds: int) -> tuple[str, ...]:
    """The note for a number of seeds below the default; empty from five seeds on."""
    if seeds == 1:
        return ("One seed: no interval, since nothing says how far another seed would fall.",)
    return (f"Indicative: {seeds} seeds, where {SEEDS} are the default.",) if seeds < SEEDS else ()


def mean_interval(values: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean over seeds with Student's t interval; NaN is a missing seed.

    Args:
        values: (S,) one figure a seed.
        level: coverage of the interval, in (0, 1).

    Raises:
        DataError: no seed has a value.
    """
    check_level(level)
    array = np.asarray(values, dtype=np.float64).ravel()
    kept = array[np.isfinite(array)]
    missing = array.size - kept.size
    if not kept.size:
        raise DataError(f"none of {array.size} seeds has a value", "look at why the runs failed")
    mean = float(kept.mean())
    if kept.size == 1:
        return Estimate(mean, None, None, 1, "none", missing, few_seeds(1))
    spread = float(kept.std(ddof=1))
    notes = few_seeds(kept.size)
    if spread <= zero_below(kept):
        spread = 0.0
        notes = (*notes, "All seeds gave the same value: an interval without width measures no uncertainty.")
    half = float(special.stdtrit(kept.size - 1, 0.5 + level / 2)) * spread / kept.size**0.5
    return Estimate(mean, mean - half, mean + half, kept.size, "t over seeds", missing, notes)


def paired_interval(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean of first − second over the seeds that both have, with Student's t interval.

    Args:
        first: (S,) figures of one method, NaN where a seed is missing.
        second: (S,) figures of the other on the same seeds.
        level: coverage of the interval, in (0, 1).
    """
    one, two = (np.asarray(each, dtype=np.float64).ravel() for each in (first, second))
    if one.shape != two.shape:
        raise DataError(f"{one.size} seeds against {two.size}", "give both methods the same seeds, NaN where missing")
    return mean_interval(one - two, level)


def zero_below(values: Floats) -> float:
    """The standard deviation below which values of this size differ by rounding only."""
    return 1e-12 * float(np.abs(values).max(initial=0.0))


def wilson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion of one run; successes may count ties as halves."""
    _check_counts(successes, n)
    return score_interval(successes / n, n, float(special.ndtri(0.5 + check_level(level) / 2)))


def score_interval(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's score interval of a share of n by a quantile z; within [0, 1], and never without the share."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def clopper_pearson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """The exact binomial interval; it stays honest where no event, or nothing else, was seen."""
    _check_counts(successes, n)
    tail = (1 - check_level(level)) / 2
    low = 0.0 if successes == 0 else float(special.betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(special.betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high


def proportion(successes: float, n: int, level: float = 0.95) -> Estimate:
    """A proportion of one run: Wilson's interval, Clopper-Pearson's where all or none are successes."""
    extreme = successes in (0, n)
    low, high = (clopper_pearson if extreme else wilson)(successes, n, level)
    kind = "Clopper-Pearson of one run" if extreme else "Wilson of one run"
    return Estimate(successes / n, low, high, n, kind, notes=(ONE_RUN,))


def _check_counts(successes: float, n: float) -> None:
    if n <= 0 or not 0 <= successes <= n:
        raise DataError(f"{successes} successes of {n} are no proportion", "count over at least one trial")


def p_floor(seeds: int) -> float:
    """The smallest p that a two-sided test over this many seeds may show: 2/2^S, at most 1."""
    return min(1.0, 2.0 ** (1 - seeds))


def sign_flip(differences: ArrayLike, seed: int = 0, draws: int = 99_999) -> float:
    """Two-sided p of a mean difference over seeds, by flipping the signs of whole seeds.

    Valid where the differences are symmetric about 0 under the null, whatever their spread. Up to 16 seeds every
    pattern of signs is counted; beyond, p = (b + 1)/(m + 1) over m drawn patterns, b of them at least as extreme.

    Args:
        differences: (S,) paired differences, NaN where a seed is missing.
        seed: of the drawn patterns; not read up to 16 seeds.
        draws: m, the number of drawn patterns.

    Returns:
        p in [2/2^S, 1]: with S seeds nothing smaller can be shown.
    """
    array = np.asarray(differences, dtype=np.float64).ravel()
    kept = array[np.isfinite(array)]
    if not kept.size:
        raise DataError(f"none of {array.size} seeds has a difference", "look at why the runs failed")
    size = kept.size
    observed = abs(kept.sum()) - 1e-12 * np.abs(kept).sum()
    if size <= EXACT_SEEDS:
        patterns = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
        return float(np.mean(np.abs((1.0 - 2.0 * patterns) @ kept) >= observed))
    rng = np.random.default_rng([seed, size])
    extreme = sum(
        int((np.abs(rng.choice((-1.0, 1.0), (part, size)) @ kept) >= observed).sum()) for part in _parts(draws)
    )
    return max((extreme + 1) / (draws + 1), p_floor(size))


def _parts(total: int, size: int = 10_000) -> list[int]:
    """Cut a number of draws into parts that fit in memory."""
    return [min(size, total - start) for start in range(0, total, size)]


def holm(p: ArrayLike) -> Floats:
    """Holm's step-down adjustment of m p-values: each at most the level with family-wise error below it.

    Args:
        p: (m,) unadjusted p-values.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def percentiles(draws: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The central interval of bootstrap draws (D,)."""
    tail = 50 * (1 - check_level(level))
    low, high = np.percentile(np.asarray(draws, dtype=np.float64), [tail, 100 - tail])
    return float(low), float(high)


def names_of(methods: Sequence[str], rows: int) -> tuple[str, ...]:
    """Return row names after checking that each row has one of its own."""
    if len(methods) != rows or len(set(methods)) != rows:
        raise DataError(f"{len(set(methods))} names for {rows} rows", "give every row a name of its own")
    return tuple(methods)


def generator(seed: int, *words: str) -> Any:
    """A generator of its own for every seed and purpose."""
    return np.random.default_rng([seed, *(byte for word in words for byte in word.encode())])
