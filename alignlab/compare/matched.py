"""Gain at the same KL: curves read where all of them reach, the area under them, and whether they differ there."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alignlab.compare import blocks, frontiers, readings
from alignlab.compare.conditions import Condition
from alignlab.compare.content import listed, number
from alignlab.compare.drift import curves, points
from alignlab.compare.intervals import mean_interval
from alignlab.compare.pools import Pool

LEVELS = 5
"""KL at which methods are compared."""
NOTHING = 1e-3
"""Below this share of the farthest KL a curve begins at SFT."""
STILL = 0.25
"""A policy that moved less than this share of what is usual has a mixture that reaches nowhere."""
Points = tuple[list[float], list[float]]
"""KL and gain of each point of a curve."""
Curves = Mapping[str, Mapping[int, Points]]


def matched_kl(pools: Sequence[Pool], primary: str) -> dict[str, Any] | None:
    """Gain at common values of KL of curves with several rows; None for fewer than two such in one pool.

    Of several pools the first that has two curves is read: gains of different data have no common unit. A curve that
    shares no KL with the others is left out and named; `kl` and `rows` are empty where no two curves share any.
    """
    for pool in pools:
        found = {label: _by_seed(points(rows, primary)) for label, rows in curves(pool.rows, 2).items()}
        found = {label: by_seed for label, by_seed in found.items() if by_seed}
        if len(found) > 1:
            return _table(found, f"Among rows of {pool.label}: " if len(pools) > 1 else "")
    return _interpolated(pools, primary)


def _interpolated(pools: Sequence[Pool], primary: str) -> dict[str, Any] | None:
    """The same along the curves that each policy gives by being mixed with SFT, where no prices of KL were trained."""
    for pool in pools:
        found = {row.label: _mixed(row, primary) for row in pool.rows}
        found = {label: by_seed for label, by_seed in found.items() if by_seed}
        reach = {label: min(max(kl) for kl, _ in by_seed.values()) for label, by_seed in found.items()}
        usual = float(np.median([*reach.values()])) if reach else 0.0
        still = [label for label in found if reach[label] < STILL * usual]  # it would cut all others short
        found = {label: by_seed for label, by_seed in found.items() if label not in still}
        if len(found) > 1:
            where = f"among rows of {pool.label}, " if len(pools) > 1 else ""
            how = f"Along mixtures of each policy with SFT (DeRa){_requests(pool)}, {where}not by training anew: "
            return _table(found, how, still)
    return None


def _requests(pool: Pool) -> str:
    """How many requests the mixtures answered, where the runs say so."""
    counts = {
        each.get("requests")
        for row in pool.rows
        for run in row.runs.values()
        for each in listed(run.result, "frontier")
    }
    found = sorted(count for count in counts if isinstance(count, int))
    return f" on the first {found[0]} requests" if found else ""


def _mixed(row: Condition, primary: str) -> dict[int, Points]:
    """(KL, gain) by seed along the mixtures; the first point is SFT, whose score is taken from all others."""
    found = {}
    for seed, run in row.runs.items():
        told = [(number(each.get("kl")), number(each.get(primary))) for each in listed(run.result, "frontier")]
        known = [(max(kl, 0.0), score) for kl, score in told if kl is not None and score is not None]
        if len(known) > 1 and len(known) == len(told):
            start = known[0][1]
            found[seed] = ([kl for kl, _ in known], [score - start for _, score in known])
    return found


def _by_seed(known: Sequence[tuple[int, float, float]]) -> dict[int, Points]:
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for seed, kl, gain in known:
        found[seed].append((kl, gain))
    return {seed: ([kl for kl, _ in own], [gain for _, gain in own]) for seed, own in found.items()}


def _table(found: Curves, lead: str, still: Sequence[str] = ()) -> dict[str, Any]:
    kept, span = _common(found)
    missing = [label for label in found if label not in kept]
    out = f" Left out, since they share no KL with the others at all seeds: {', '.join(missing)}." if missing else ""
    out += f" Left out, since they hardly moved: {', '.join(still)}." if still else ""
    if span is None:
        why = "No KL is reached at all seeds by two methods: nothing is compared at matched KL."
        return {"kl": [], "rows": [], "sentence": lead + why}
    levels = _levels(*span)
    lines: dict[str, list[Any]] = {label: [] for label in kept}
    for at in levels:
        labels, _, values = frontiers.matched(kept, at)
        for label, line in zip(labels, values, strict=True):
            lines[label].append(_estimate(line))
    rows = [
        {"id": label, "label": label, "values": values, "area": _area(kept[label], span[1])}
        for label, values in lines.items()
    ]
    return {"kl": levels, "rows": rows, "sentence": lead + _separated(kept, levels) + out}


def _common(found: Curves) -> tuple[Curves, tuple[float, float] | None]:
    """The curves that share a range of KL at all their seeds, and the range; the most isolated are left out."""
    kept = dict(found)
    while len(kept) > 1:
        span = frontiers.common_range([each for by_seed in kept.values() for each in by_seed.values()])
        if span is not None:
            return kept, span
        own = {label: frontiers.common_range(list(by_seed.values())) for label, by_seed in kept.items()}
        del kept[min(kept, key=lambda label: _met(own, label))]
    return {}, None


def _met(spans: Mapping[str, tuple[float, float] | None], label: str) -> int:
    """How many curves, itself included, share some KL with a curve."""
    own = spans[label]
    if own is None:
        return 0
    return sum(other is not None and max(own[0], other[0]) <= min(own[1], other[1]) for other in spans.values())


def _levels(low: float, high: float) -> list[float]:
    """KL evenly spaced in its root, in two digits where those lie within the range; never 0, where nothing differs."""
    begin = low**0.5 if low > NOTHING * high else high**0.5 / LEVELS
    spaced = [float(at) for at in np.linspace(begin, high**0.5, LEVELS) ** 2]
    digits = [10.0 ** (1 - math.floor(math.log10(at))) for at in spaced]
    rounded = [
        math.floor(at * each) / each if at > low else math.ceil(at * each) / each
        for at, each in zip(spaced, digits, strict=True)
    ]
    return list(dict.fromkeys(each if low <= each <= high else at for each, at in zip(rounded, spaced, strict=True)))


def _area(by_seed: Mapping[int, Points], up_to: float) -> dict[str, Any] | None:
    """Mean gain along √KL from SFT to the farthest common KL."""
    if up_to <= 0:
        return None
    areas = [frontiers.area_under(kl, gain, up_to) for kl, gain in by_seed.values()]
    return _estimate(np.array([np.nan if area is None else area for area in areas]))


def _estimate(line: Any) -> dict[str, Any] | None:
    if not np.isfinite(line).any():
        return None
    found = mean_interval(line)
    return {"mean": found.value, "low": found.low, "high": found.high, "n": found.n}


def _separated(kept: Curves, levels: Sequence[float]) -> str:
    """Whether methods differ in the middle of what they share."""
    at = levels[len(levels) // 2]
    labels, seeds, values = frontiers.matched(kept, at)
    found = blocks.all_pairs(values, labels, seeds)
    where = f"At a KL of {at:.3g} nats"
    if found.kind == readings.NONE:
        return f"{where} methods share {'one seed' if len(found.methods) > 1 else 'no seed'}: none can be told apart."
    apart = [pair for pair in found.pairs if pair.separated]
    over = f"over {len(found.seeds)} seeds"
    if not apart:
        return f"{where}, {over}, no method is told apart from another: differences above it are drift, or noise."
    first = apart[0]
    better, worse = (first.a, first.b) if first.difference > 0 else (first.b, first.a)
    count = f"{len(apart)} of {len(found.pairs)} pairs are told apart"
    return f"{where}, {over}, {count}, {better} above {worse} among them."
