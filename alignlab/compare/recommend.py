"""Which row to use under some limits, and how sure the runs are of it.

A row meets a limit surely when its whole interval does, perhaps when only its mean does. The best of those that meet
all limits is named; whether it is told apart from the next is read from simultaneous intervals over the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignlab.compare import blocks
from alignlab.compare.assemble import table_of
from alignlab.compare.quantiles import range_quantile
from alignlab.errors import DataError

MOST_SEEDS = 200
"""More seeds than this are not worth proposing."""


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
    sign = -1.0 if least else 1.0
    best = max(fit, key=lambda row: sign * _figure(row, objective)["mean"])
    decided, found = _evidence(content, fit, best, objective, sign)
    sentences = [f"Use {best['label']}: {objective} {_shown(_figure(best, objective))}."]
    if limits and not surely:
        sentences.append(f"Its means meet {_listed(limits)}; its intervals reach beyond, so the limits may not hold.")
        decided = False
    return Advice(best, decided, (*sentences, *found, *out))


def _figure(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    empty = {"mean": None, "low": None, "high": None, "by_seed": {}}
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
    """Rows that surely meet every limit, those whose means do, and sentences on those that do not."""
    surely, perhaps, out = [], [], []
    for row in rows:
        if _figure(row, objective)["mean"] is None:
            out.append(f"{row['label']} has no {objective}.")
            continue
        unmet = [limit for limit in limits if not _within(_figure(row, limit.name)["mean"], limit.most)]
        if unmet:
            figures = ", ".join(f"{limit.label} {_value(_figure(row, limit.name)['mean'])}" for limit in unmet)
            out.append(f"{row['label']} is out: {figures}.")
            continue
        perhaps.append(row)
        if all(_within(_figure(row, limit.name)["high"], limit.most) for limit in limits):
            surely.append(row)
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
    if found.kind == "none" or best["id"] not in found.methods:
        return False, ["One common seed cannot tell rows apart: run at least five, as in seed=0,1,2,3,4."]
    labels = {row["id"]: row["label"] for row in rows}
    close = [other for other in found.methods if other != best["id"] and not found.pair(best["id"], other).separated]
    if not close:
        return True, [f"It is told apart from every other row within the limits, over {len(found.seeds)} seeds."]
    gaps = {other: found.pair(best["id"], other).difference for other in close}
    nearest = min(gaps, key=lambda other: abs(gaps[other]))
    named = ", ".join(labels[other] for other in close)
    sentences = [f"The evidence does not decide: over {len(found.seeds)} seeds it is not told apart from {named}."]
    needed = seeds_needed(found, gaps[nearest])
    if needed is None:
        sentences.append(
            f"{labels[nearest]} is {abs(gaps[nearest]):.3g} away: no affordable number of seeds would tell; choose by "
            "cost, drift or posture."
        )
    else:
        sentences.append(
            f"If {labels[nearest]} stays {abs(gaps[nearest]):.3g} away, about {needed} seeds would tell the two apart."
        )
    return False, sentences


def seeds_needed(found: blocks.Comparison, gap: float) -> int | None:
    """Seeds at which a gap would exceed Tukey's half width with the residual seen; None beyond 200, or without one."""
    sd, count = found.residual_sd, len(found.methods)
    if sd is None or gap == 0:
        return None
    for seeds in range(len(found.seeds) + 1, MOST_SEEDS + 1):
        half = range_quantile(found.level, count, (count - 1) * (seeds - 1)) * sd / seeds**0.5
        if half < abs(gap):
            return seeds
    return None
