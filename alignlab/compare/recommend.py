"""Which row to use under some limits, and how sure the runs are of it.

A row meets a limit surely when its whole interval does, perhaps when only its mean does. The best of those that meet
all limits is named; whether it is told apart from the next is read from simultaneous intervals over the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import special

from alignlab.compare import blocks, readings
from alignlab.compare.quantiles import range_quantile
from alignlab.compare.standing import table_of
from alignlab.errors import DataError

MOST_SEEDS = 200
"""More seeds than this are not worth proposing."""
POWER = 0.8
"""Probability with which the seeds that are proposed tell a gap of the size seen."""


@dataclass(frozen=True)
class Limit:
    """Most that a figure may be."""

    name: str
    """Of a metric, or of a cost."""
    label: str
    most: float


@dataclass(frozen=True)
class Advice:
    """What to use."""

    row: Mapping[str, Any] | None
    """None where no row meets the limits."""
    decided: bool
    """Told apart from every other row that meets the limits."""
    sentences: tuple[str, ...]


def recommend(content: Mapping[str, Any], objective: str, limits: Sequence[Limit], *, least: bool = False) -> Advice:
    """The row with the highest objective (lowest with `least`) among those within all limits.

    Raises DataError for an objective or a limit that no row has a figure for.
    """
    rows = [row for row in content["rows"] if not row["control"]]
    for name in (objective, *(limit.name for limit in limits)):
        if not any(_figure(row, name)["mean"] is not None for row in rows):
            known = sorted({key for row in rows for part in ("metrics", "costs") for key in row[part]})
            raise DataError(f"no row has a figure {name!r}", f"there are {', '.join(known)}")
    surely, perhaps, out = _sorted(rows, objective, limits)
    if not surely and not perhaps:
        return Advice(None, False, (f"No row meets {_listed(limits)}.", *out))
    fit = surely or perhaps
    split = _pools(content, [*surely, *perhaps])
    if split:
        return Advice(None, False, (split, *out))
    sign = -1.0 if least else 1.0
    best = max(fit, key=lambda row: sign * _figure(row, objective)["mean"])
    decided, found = _evidence(content, fit, best, objective, sign)
    sentences = [f"Use {best['label']}: {objective} {_shown(_figure(best, objective))}."]
    if limits and not surely:
        sentences.append(f"Its means meet {_listed(limits)}; its intervals reach beyond, so the limits may not hold.")
        decided = False
    for row in perhaps if surely else ():
        higher = sign * (_figure(row, objective)["mean"] - _figure(best, objective)["mean"]) > 0
        decided &= not higher
        out.insert(0, _uncertain(row, objective, limits, higher))
    return Advice(best, decided, (*sentences, *found, *out))


def _pools(content: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """That rows cannot be ranked against each other, where they cannot; else ''."""
    ids = {row["id"] for row in rows}
    met = [pool["label"] for pool in content.get("pools") or () if ids & set(pool["ids"])]
    if len(met) < 2:
        return ""
    return f"Rows of {'; '.join(met)} are not ranked against each other: name the folders of one of them."


def _uncertain(row: Mapping[str, Any], objective: str, limits: Sequence[Limit], higher: bool) -> str:
    """A row that meets the limits by its means alone."""
    over = [limit for limit in limits if not _within(_figure(row, limit.name)["high"], limit.most)]
    figures = ", ".join(f"{limit.label} {_shown(_figure(row, limit.name))}" for limit in over)
    text = f"{row['label']}: its mean meets the limits, its interval does not ({figures})"
    return f"{text}; its {objective}, {_shown(_figure(row, objective))}, is better." if higher else f"{text}."


def _figure(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    empty: dict[str, Any] = {"mean": None, "low": None, "high": None, "by_seed": {}}
    return dict(row["metrics"].get(name) or row["costs"].get(name) or empty)


def _shown(figure: Mapping[str, Any]) -> str:
    if figure["low"] is None:
        return f"{figure['mean']:.3g} (one seed)"
    return f"{figure['mean']:.3g} [{figure['low']:.3g}, {figure['high']:.3g}]"


def _listed(limits: Sequence[Limit]) -> str:
    return " and ".join(f"{limit.label} ≤ {limit.most:g}" for limit in limits) or "what was asked"


def _sorted(
    rows: Sequence[Mapping[str, Any]], objective: str, limits: Sequence[Limit]
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]], list[str]]:
    """Rows that surely meet every limit, others whose means do, and sentences on those that do not."""
    surely: list[Mapping[str, Any]] = []
    perhaps: list[Mapping[str, Any]] = []
    out: list[str] = []
    for row in rows:
        if _figure(row, objective)["mean"] is None:
            out.append(f"{row['label']} has no {objective}.")
            continue
        unmet = [limit for limit in limits if not _within(_figure(row, limit.name)["mean"], limit.most)]
        if unmet:
            figures = ", ".join(f"{limit.label} {_value(_figure(row, limit.name)['mean'])}" for limit in unmet)
            out.append(f"{row['label']} is out: {figures}.")
            continue
        sure = all(_within(_figure(row, limit.name)["high"], limit.most) for limit in limits)
        (surely if sure else perhaps).append(row)
    return surely, perhaps, out


def _within(value: float | None, most: float) -> bool:
    return value is not None and value <= most


def _value(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def _evidence(
    content: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    best: Mapping[str, Any],
    objective: str,
    sign: float,
) -> tuple[bool, list[str]]:
    """Whether the best is told apart from the others, and how many seeds would do it."""
    if len(rows) == 1:
        return True, ["It is the only row within the limits."]
    costs = objective not in best["metrics"]
    seeds = content["seeds"]
    values = sign * table_of([{**row, "metrics": row["costs"]} if costs else row for row in rows], objective, seeds)
    found = blocks.all_pairs(values, [row["id"] for row in rows], seeds)
    if found.kind == readings.NONE or best["id"] not in found.methods:
        return False, ["Too few common seeds to tell rows apart: run at least five, as in seed=0,1,2,3,4."]
    labels = {row["id"]: row["label"] for row in rows}
    pairs = {other: found.pair(best["id"], other) for other in found.methods if other != best["id"]}
    close = [other for other, pair in pairs.items() if not pair.separated]
    above = [labels[other] for other, pair in pairs.items() if pair.separated and pair.difference < 0]
    sentences = [f"Over the seeds that rows share {', '.join(above)} is better."] if above else []
    if found.left_out:
        absent = ", ".join(labels[other] for other in found.left_out)
        sentences.append(f"Too few common seeds to compare it with {absent}.")
    if not close:
        if not sentences:
            return True, [f"It is told apart from every other row within the limits, over {len(found.seeds)} seeds."]
        return False, sentences
    nearest = min(close, key=lambda other: abs(pairs[other].difference))
    named = ", ".join(labels[other] for other in close)
    sentences.append(f"The evidence does not decide: over {len(found.seeds)} seeds it is not told apart from {named}.")
    return False, [*sentences, _needed(found, labels[nearest], pairs[nearest].difference)]


def _needed(found: blocks.Comparison, label: str, gap: float) -> str:
    """How many seeds would tell the nearest row apart."""
    if found.residual_sd is None:
        return (
            f"{label} is {abs(gap):.3g} away. Rows vary too differently from seed to seed to share a residual, so how "
            "many seeds would tell cannot be given."
        )
    needed = seeds_needed(found, gap)
    if needed is None:
        return (
            f"{label} is {abs(gap):.3g} away: no affordable number of seeds would tell; choose by cost, drift or "
            "posture."
        )
    return (
        f"If {label} stays {abs(gap):.3g} away, about {needed} seeds would tell the two apart in {POWER:.0%} of "
        "comparisons."
    )


def seeds_needed(found: blocks.Comparison, gap: float) -> int | None:
    """Seeds at which Tukey's interval leaves out 0 with a probability of 80 %, if gap and residual are as seen.

    The gap has to exceed the half width by what the difference of two means falls short of itself in one of five
    draws. None beyond 200 seeds, and without a residual or a gap.
    """
    sd, count = found.residual_sd, len(found.methods)
    if sd is None or gap == 0:
        return None
    for seeds in range(len(found.seeds) + 1, MOST_SEEDS + 1):
        half = range_quantile(found.level, count, (count - 1) * (seeds - 1)) * sd / seeds**0.5
        if half + float(special.ndtri(POWER)) * sd * (2 / seeds) ** 0.5 < abs(gap):
            return seeds
    return None
