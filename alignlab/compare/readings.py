"""How the pairs of a complete table are read: by the pooled residual, each by its own differences, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from .intervals import Floats, few_seeds, holm, zero_below
from .quantiles import dunnett_p, dunnett_quantile, range_p, range_quantile
from .spread import calm, residuals, spread_of

TUKEY, DUNNETT, PAIRED, PER_PAIR, NONE = "tukey", "dunnett", "paired t", "per-pair t", "none"
FLAT = (
    "Every difference is the same at all seeds: intervals have no width and measure no uncertainty. Runs whose seed"
    " should matter and does not are worth a look."
)


@dataclass(frozen=True)
class Question:
    """A complete table and the M pairs of rows that are asked about."""

    values: Floats
    """(K, S)."""
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    level: float
    baseline: bool
    """Whether the pairs are all those with one row, rather than all pairs."""

    @cached_property
    def gaps(self) -> Floats:
        """(M, S) differences of the pairs at every seed."""
        return np.asarray(self.values[self.first] - self.values[self.second])


@dataclass(frozen=True)
class Reading:
    """What one way of reading gives for each of M pairs."""

    kind: str
    df: int
    residual_sd: float | None
    half: Floats | None
    """(M,) half widths of the intervals; None where there are none."""
    p: Floats | None
    """(M,) adjusted for the number of pairs, without a floor."""
    separated: NDArray[np.bool_]
    notes: tuple[str, ...] = ()
    spread: tuple[float, ...] = ()


def read(asked: Question) -> Reading:
    """Choose how the pairs are read, from the number of methods and seeds and from how the methods vary."""
    count, seeds = asked.values.shape
    if not asked.first.size:
        return _silent(asked, "")
    if seeds < 2:
        return _silent(asked, few_seeds(1)[0] if seeds else "No seed has figures of two methods.")
    if float(np.abs(residuals(asked.values)).max()) <= zero_below(asked.values):
        return _flat(asked)
    if count == 2:
        return _pooled(asked, PAIRED, ())
    spread = spread_of(asked.values)
    if spread.uneven:
        return _uneven(asked, spread.sd)
    return _pooled(asked, DUNNETT if asked.baseline else TUKEY, spread.sd)


def _uneven(asked: Question, spread: tuple[float, ...]) -> Reading:
    """A table whose rows do not vary alike: those that do share a residual, pairs with the others stand alone.

    Each part holds at half the error, so that all intervals hold together at the level asked for.
    """
    rows = calm(asked.values)
    inside = rows[asked.first] & rows[asked.second]
    if not inside.any() or inside.all():
        return _per_pair(asked, spread)
    number = np.cumsum(rows) - 1  # places within the part
    half_error = 1 - (1 - asked.level) / 2
    first, second = number[asked.first[inside]], number[asked.second[inside]]
    alike = Question(asked.values[rows], first, second, half_error, asked.baseline)
    apart = Question(asked.values, asked.first[~inside], asked.second[~inside], half_error, asked.baseline)
    kind = (DUNNETT if asked.baseline else TUKEY) if rows.sum() > 2 else PAIRED
    one, two = _pooled(alike, kind, ()), _per_pair(apart, spread)
    half, p, separated = (np.empty(inside.size), np.empty(inside.size), np.empty(inside.size, dtype=bool))
    for where, part in ((inside, one), (~inside, two)):
        assert part.half is not None
        assert part.p is not None
        half[where], p[where], separated[where] = part.half, np.minimum(2 * part.p, 1.0), part.separated
    note = (
        f"Rows vary too differently from seed to seed to share one residual (sd {min(spread):.3g} to"
        f" {max(spread):.3g}): the {int(rows.sum())} that vary alike share theirs, every pair with another is read by"
        " its own differences (Holm, Bonferroni), which is more cautious; each part takes half of the error."
    )
    return Reading(
        f"{kind}, {PER_PAIR}",
        one.df,
        one.residual_sd,
        half,
        p,
        separated,
        (*few_seeds(asked.values.shape[1]), note),
        spread,
    )


def _silent(asked: Question, note: str) -> Reading:
    return Reading(NONE, 0, None, None, None, np.zeros(asked.first.size, dtype=bool), (note,) if note else ())


def _pooled(asked: Question, kind: str, spread: tuple[float, ...]) -> Reading:
    """Tukey's or Dunnett's reading; at two methods both are the paired t."""
    count, seeds = asked.values.shape
    df = (count - 1) * (seeds - 1)
    sd = float(np.sqrt((residuals(asked.values) ** 2).sum() / df))
    error = sd * (2 / seeds) ** 0.5
    t = np.abs(asked.gaps.mean(1)) / error
    if kind == DUNNETT:
        critical, p = dunnett_quantile(asked.level, count - 1, df), dunnett_p(t, count - 1, df)
    elif kind == TUKEY:
        critical, p = range_quantile(asked.level, count, df) / 2**0.5, range_p(t * 2**0.5, count, df)
    else:
        critical, p = float(special.stdtrit(df, 0.5 + asked.level / 2)), 2 * special.stdtr(df, -t)
    half = np.full(asked.first.size, critical * error)
    return Reading(kind, df, sd, half, p, t > critical, few_seeds(seeds), spread)


def _per_pair(asked: Question, spread: tuple[float, ...]) -> Reading:
    """Each pair by its own differences: Holm for p and separation, Bonferroni for intervals."""
    seeds = asked.values.shape[1]
    middle, error = asked.gaps.mean(1), asked.gaps.std(1, ddof=1) / seeds**0.5
    tiny = zero_below(asked.values)
    t = np.abs(middle) / np.where(error <= tiny, 1.0, error)
    plain = np.where(error <= tiny, np.abs(middle) <= tiny, 2 * special.stdtr(seeds - 1, -t))
    p = holm(plain)
    critical = float(special.stdtrit(seeds - 1, 1 - (1 - asked.level) / (2 * asked.first.size)))
    half = np.where(error <= tiny, 0.0, critical * error)
    note = (
        f"Methods vary too differently from seed to seed to share one residual (sd {min(spread):.3g} to"
        f" {max(spread):.3g}): each pair is read by its own differences, p by Holm, intervals by Bonferroni, which are"
        " the more cautious of the two."
    )
    return Reading(PER_PAIR, seeds - 1, None, half, p, p <= 1 - asked.level, (*few_seeds(seeds), note), spread)


def _flat(asked: Question) -> Reading:
    """A table whose differences are the same at every seed."""
    count, seeds = asked.values.shape
    apart = np.abs(asked.gaps.mean(1)) > zero_below(asked.values)
    kind = PAIRED if count == 2 else DUNNETT if asked.baseline else TUKEY
    p = np.where(apart, 0.0, 1.0)
    df = (count - 1) * (seeds - 1)
    return Reading(kind, df, 0.0, np.zeros(asked.first.size), p, apart, (*few_seeds(seeds), FLAT))
