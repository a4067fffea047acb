"""Bootstrap intervals over seeds and prompts at once, and of ranks.

Seeds and prompts are crossed: every seed met every prompt, so each draw resamples both, independently. Resampling
prompts alone is the classic fault, since it holds the luck of the seed fixed. With few seeds a percentile interval is
too narrow whatever is resampled, and the notes say so: Student's t or the block design stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from alignlab.errors import ConfigError, DataError

from .intervals import Estimate, Floats, check_level, few_seeds, generator, names_of, percentiles

FEWEST_DRAWS = 2_000
DRAWS = 4_000
ENOUGH_SEEDS = 10
NARROW = (
    "Below ten seeds the percentile bootstrap is too narrow: it covers about 76, 85 and 89 of 100 truths at 3, 5 and 8"
    " seeds."
)


@dataclass(frozen=True)
class Rank:
    """Place of a method, 1 the highest, with the places it takes when seeds are drawn again."""

    method: str
    rank: float
    """By the mean over all seeds; equal means share their average place."""
    low: float
    high: float
    first: float
    """Share of draws in which it stands alone or tied at the top."""


def check_draws(draws: int) -> int:
    """Return a number of bootstrap draws after checking that percentiles can be read off it."""
    if draws < FEWEST_DRAWS:
        raise ConfigError(f"{draws} bootstrap draws are too few for an interval", f"take at least {FEWEST_DRAWS}")
    return draws


def resampled(rng: np.random.Generator, size: int, draws: int) -> Floats:
    """How often each of `size` units is drawn: (draws, size), every row summing to `size`."""
    return rng.multinomial(size, np.full(size, 1 / size), size=draws).astype(np.float64)


def crossed(
    differences: ArrayLike, level: float = 0.95, draws: int = DRAWS, seed: int = 0, *, what: str = "seeds × prompts"
) -> Estimate:
    """Percentile interval of a mean paired difference, seeds and prompts drawn with replacement independently.

    Args:
        differences: (S, P) of two methods, at each seed and prompt. A seed with any value missing is left out, counted.
        level: coverage of the interval, in (0, 1).
        draws: at least 2,000.
        seed: of the generator.
        what: name of the units in `kind`.
    """
    check_level(level)
    array = np.asarray(differences, dtype=np.float64)
    if array.ndim != 2 or not array.size:
        raise DataError(f"differences of shape {array.shape} are not {what}", "give one row a seed")
    kept = array[np.isfinite(array).all(1)]
    missing = len(array) - len(kept)
    if not len(kept):
        raise DataError(f"none of {len(array)} seeds has a value for every prompt", "compare on prompts that all met")
    value = float(kept.mean())
    if len(kept) == 1:
        return Estimate(value, None, None, 1, "none", missing, few_seeds(1))
    rng = generator(seed, "crossed")
    seeds, prompts = (resampled(rng, size, check_draws(draws)) for size in kept.shape)
    low, high = percentiles(((seeds @ kept) * prompts).sum(1) / kept.size, level)
    return Estimate(value, low, high, len(kept), f"bootstrap over {what}", missing, _narrow(len(kept)))


def _narrow(seeds: int) -> tuple[str, ...]:
    return (*few_seeds(seeds), NARROW) if seeds < ENOUGH_SEEDS else ()


def rank_intervals(
    scores: ArrayLike, methods: Sequence[str], level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> tuple[Rank, ...]:
    """Ranks by mean score, with percentile intervals over seeds, and over prompts where they are given.

    All methods share each draw, since they met the same seeds and prompts. With one seed only prompts are drawn, and
    the intervals say nothing about another seed.

    Args:
        scores: (K, S) or (K, S, P) without gaps; higher is better.
        methods: (K,) names.
        level: coverage of the intervals, in (0, 1).
        draws: at least 2,000.
        seed: of the generator.

    Returns:
        Highest first.
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim not in (2, 3) or not array.size or not np.isfinite(array).all():
        raise DataError("ranks need a figure of every method at every seed", "keep the seeds that all methods met")
    table = array if array.ndim == 3 else array[..., None]
    names = names_of(methods, len(table))
    rng = generator(seed, "ranks")
    seeds, prompts = (resampled(rng, size, check_draws(draws)) for size in table.shape[1:])
    means = np.stack([((seeds @ each) * prompts).sum(1) for each in table], axis=1) / table[0].size
    drawn = _ranks(means)
    own = _ranks(table.mean((1, 2))[None])[0]
    found = [
        Rank(name, float(own[row]), *percentiles(drawn[:, row], level), float(np.mean(means[:, row] >= means.max(1))))
        for row, name in enumerate(names)
    ]
    return tuple(sorted(found, key=lambda each: each.rank))


def _ranks(means: Floats) -> Floats:
    """Places of rows (D, K) among themselves, highest first, ties sharing the average of theirs."""
    ordered = np.sort(means, axis=1)
    places = np.empty_like(means)
    for row, (line, values) in enumerate(zip(ordered, means, strict=True)):
        below, upto = np.searchsorted(line, values, "left"), np.searchsorted(line, values, "right")
        places[row] = line.size - (below + upto - 1) / 2
    return places
