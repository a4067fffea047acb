"""All methods against each other, or against a baseline, on the seeds that all of them met.

Seeds are blocks: figure = method + seed + residual, with one residual sd for all pairs and (K − 1)(S − 1) degrees of
freedom. That is what lets three seeds separate anything: a pair alone has two degrees of freedom, and corrected for 45
pairs it sees nothing. Where methods vary too differently to share a residual, per-pair t takes over and the notes say
so. No p is shown below 2/2^S, the least that S seeds can show without trusting the shape of the residuals;
intervals, and whether a pair is separated, do not depend on that floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from alignlab.errors import DataError

from .complete import Table, complete_blocks
from .intervals import check_level, p_floor
from .readings import Question, Reading, read
from .tiers import tiers_of


@dataclass(frozen=True)
class Pair:
    """One difference a − b of means over the common seeds, with its simultaneous interval."""

    a: str
    b: str
    difference: float
    low: float | None
    high: float | None
    p: float | None
    """Adjusted for all pairs of the comparison, and never below 2/2^S."""
    separated: bool


@dataclass(frozen=True)
class Comparison:
    """What a table of figures by method and seed says, and how it was read."""

    kind: str
    """`tukey`, `dunnett`, `paired t`, `per-pair t`, or `none` where one seed allows no interval.

    `tukey, per-pair t` and the like: the rows that vary alike by the first, pairs with the others by the second.
    """
    level: float
    methods: tuple[str, ...]
    """Those compared, highest mean first."""
    means: tuple[float, ...]
    """Over the common seeds."""
    seeds: tuple[int, ...]
    """Those at which every compared method has a figure."""
    dropped_seeds: tuple[int, ...]
    left_out: tuple[str, ...]
    """Methods with too few seeds to be compared."""
    df: int
    residual_sd: float | None
    spread: tuple[float, ...]
    """Residual sd of each method, in order of `methods`; empty below three methods or two seeds."""
    p_floor: float
    pairs: tuple[Pair, ...]
    tiers: tuple[tuple[str, ...], ...]
    """Maximal sets with no separated pair, best first; empty against a baseline."""
    notes: tuple[str, ...]

    @cached_property
    def _index(self) -> dict[tuple[str, str], Pair]:
        return {(each.a, each.b): each for each in self.pairs}

    def pair(self, a: str, b: str) -> Pair:
        """The pair a − b, turned round where it is stored as b − a."""
        if (a, b) in self._index:
            return self._index[a, b]
        if (b, a) not in self._index:
            raise DataError(f"{a!r} and {b!r} were not compared", f"compared are {', '.join(self.methods) or 'none'}")
        back = self._index[b, a]
        low, high = (None if each is None else -each for each in (back.high, back.low))
        return Pair(a, b, -back.difference, low, high, back.p, back.separated)


def all_pairs(
    values: ArrayLike, methods: Sequence[str], seeds: Sequence[int] | None = None, level: float = 0.95
) -> Comparison:
    """Every method against every other, with simultaneous intervals and tiers.

    Tukey's on the block design; for two methods that is the paired t. With uneven spread, per-pair t: Holm for p and
    separation, Bonferroni for intervals.

    Args:
        values: (K, S) a figure for each method and seed, NaN where a run is missing; higher is better.
        methods: (K,) names.
        seeds: (S,) seeds, 0 to S − 1 by default.
        level: probability that all intervals hold at once, in (0, 1).
    """
    table = complete_blocks(values, methods, seeds)
    first, second = np.triu_indices(len(table.methods), 1)
    asked = Question(table.values, first, second, check_level(level), baseline=False)
    reading = read(asked)
    apart = np.zeros((len(table.methods),) * 2, dtype=bool)
    apart[first, second] = apart[second, first] = reading.separated
    return _comparison(table, asked, reading, tiers_of(table.methods, apart))


def against(
    values: ArrayLike, methods: Sequence[str], baseline: str, seeds: Sequence[int] | None = None, level: float = 0.95
) -> Comparison:
    """Every method against one baseline, with Dunnett's simultaneous intervals on the block design.

    Fewer comparisons than all pairs, hence narrower intervals; the fallback for uneven spread is the same.

    Args:
        values: (K, S) a figure for each method and seed, NaN where a run is missing.
        methods: (K,) names.
        baseline: the name of the one to compare with.
        seeds: (S,) seeds, 0 to S − 1 by default.
        level: probability that all intervals hold at once, in (0, 1).
    """
    if baseline not in methods:
        raise DataError(f"the baseline {baseline!r} is not among the methods", f"choose from {', '.join(methods)}")
    table = complete_blocks(values, methods, seeds, keep=baseline)
    if baseline not in table.methods:
        raise DataError(f"the baseline {baseline!r} has no figures", "look at why its runs failed, or name another")
    place = table.methods.index(baseline)
    first = np.array([each for each in range(len(table.methods)) if each != place], dtype=np.intp)
    second = np.full_like(first, place)
    asked = Question(table.values, first, second, check_level(level), baseline=True)
    return _comparison(table, asked, read(asked), ())


def _comparison(table: Table, asked: Question, reading: Reading, tiers: tuple[tuple[str, ...], ...]) -> Comparison:
    return Comparison(
        kind=reading.kind,
        level=asked.level,
        methods=table.methods,
        means=tuple(table.values.mean(1).tolist()) if table.seeds else (),
        seeds=table.seeds,
        dropped_seeds=table.dropped,
        left_out=table.left_out,
        df=reading.df,
        residual_sd=reading.residual_sd,
        spread=reading.spread,
        p_floor=p_floor(max(len(table.seeds), 1)),
        pairs=_pairs(table.methods, asked, reading),
        tiers=tiers if table.seeds else (),
        notes=(*table.notes, *reading.notes),
    )


def _pairs(methods: tuple[str, ...], asked: Question, reading: Reading) -> tuple[Pair, ...]:
    if not asked.first.size or not asked.values.size:
        return ()
    gaps = asked.gaps.mean(1)
    ends: list[tuple[float | None, float | None, float | None]] = [(None, None, None)] * gaps.size
    if reading.half is not None and reading.p is not None:
        shown = np.clip(reading.p, p_floor(asked.values.shape[1]), 1.0)
        ends = list(zip((gaps - reading.half).tolist(), (gaps + reading.half).tolist(), shown.tolist(), strict=True))
    places = zip(asked.first.tolist(), asked.second.tolist(), strict=True)
    return tuple(
        Pair(methods[a], methods[b], gap, *end, apart)
        for (a, b), gap, end, apart in zip(places, gaps.tolist(), ends, reading.separated.tolist(), strict=True)
    )
