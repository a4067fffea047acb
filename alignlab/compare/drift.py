"""What was gained for how far a policy moved: final points, fits of overoptimisation, the curve of best-of-n.

A curve is made of rows of one preset that differ by settings of the method alone. Rows that learned from other labels,
another mix or another reward are points of another curve.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alignlab.compare import frontiers, overoptimisation
from alignlab.compare.conditions import Condition
from alignlab.compare.content import number
from alignlab.compare.overoptimisation import LEARNED
from alignlab.compare.pools import Pool
from alignlab.compare.runs import Run
from alignlab.errors import DataError

TARGETS = ("gold", "proxy")
FAR = 100.0
"""A peak at more than so many times the KL that was run is none."""


def frontier(pools: Sequence[Pool], primary: str, common: bool) -> dict[str, Any]:
    """Final points of every run, the curve of best-of-n of the start, and a fit for each curve with enough points.

    Args:
        pools: rows by what they may be ranked with.
        primary: the score whose gain is `gold` of every point.
        common: whether all rows started from the same SFT policies and were scored by the same judge: only then is
            there one curve of best-of-n to hold them against.
    """
    rows = [row for pool in pools for row in pool.rows]
    best = {name for pool in pools for name in _unbeaten(pool.rows, primary)}
    points = [
        {
            "id": condition.id,
            "seed": seed,
            "kl": run.metrics.get("kl"),
            "gold": run.gain(primary),
            "proxy": run.gain("proxy"),
            "pareto": condition.id in best,
        }
        for condition in rows
        for seed, run in condition.runs.items()
    ]
    return {"points": points, "best_of": _best_of_n(rows, primary) if common else [], "fits": _fits(rows, primary)}


def _unbeaten(rows: Sequence[Condition], primary: str) -> list[str]:
    """Ids of rows of one pool whose mean gain no other row reaches with at most their mean KL."""
    means = []
    for row in rows:
        known = [(run.metrics.get("kl"), run.gain(primary)) for run in row.runs.values()]
        both = [pair for pair in known if None not in pair]
        if both:
            means.append((row.id, *np.mean(np.array(both, dtype=np.float64), axis=0).tolist()))
    if not means:
        return []
    ids, kl, gain = zip(*means, strict=True)
    return [ids[place] for place in frontiers.pareto(kl, gain)]


def _best_of_n(rows: Sequence[Condition], primary: str) -> list[dict[str, Any]]:
    """Mean over seeds of the recorded curve of each seed's SFT policy."""
    by_seed: dict[int, Mapping[str, Any]] = {}
    for condition in rows:
        for seed, run in condition.runs.items():
            curve = run.result.get("best_of")
            if isinstance(curve, Mapping):
                by_seed.setdefault(seed, curve)
    found = []
    for n in sorted({int(n) for curve in by_seed.values() for n in curve}):
        here = [curve[str(n)] for curve in by_seed.values() if str(n) in curve]
        means = {}
        for name, key in (("gold", primary), ("proxy", "proxy")):
            values = [value for each in here if (value := number(each.get(key))) is not None]
            means[name] = float(np.mean(values)) if len(values) == len(here) else None
        found.append({"n": n, "kl": here[0]["kl"], **means})
    return found


def curves(rows: Sequence[Condition], least: int) -> dict[str, list[Condition]]:
    """Rows by the curve they are points of, where it has at least so many; a KL that is a mere bound is no point."""
    found: dict[str, list[Condition]] = defaultdict(list)
    for condition in rows:
        if condition.first.about.get("kl_known") != "bound":
            found[condition.curve].append(condition)
    return {label: own for label, own in found.items() if len(own) >= least}


def points(rows: Sequence[Condition], score: str) -> list[tuple[int, float, float]]:
    """Seed, KL (0 where an estimate is below it) and gain of every run that has both."""
    runs: list[tuple[int, Run]] = [(seed, run) for row in rows for seed, run in row.runs.items()]
    known = [(seed, run.metrics.get("kl"), run.gain(score)) for seed, run in runs]
    return [(seed, max(kl, 0.0), gain) for seed, kl, gain in known if kl is not None and gain is not None]


def _fits(rows: Sequence[Condition], primary: str) -> list[dict[str, Any]]:
    """For each curve, gain against drift in the form of learned policies."""
    found = []
    for label, own in curves(rows, 3).items():
        for target in TARGETS:
            fit = _fit(points(own, primary if target == "gold" else target))
            if fit is not None:
                sentence = f"{label}, {target}: {fit.pop('sentence')}"
                who = {"id": own[0].id, "name": own[0].name, "label": label}
                found.append({**who, "form": "rl", "target": target, **fit, "sentence": sentence})
    return found


def _fit(known: Sequence[tuple[int, float, float]]) -> dict[str, Any] | None:
    if len(known) < 4:
        return None
    seeds, kl, gain = (np.asarray(column) for column in zip(*known, strict=True))
    try:
        fit = overoptimisation.fit(kl, gain, seeds, LEARNED)
    except DataError:
        return None
    farthest = float(kl.max())
    peak, low, high = (_within(each, farthest) for each in (fit.peak, *fit.peak_interval))
    if peak is None:
        sentence = "It does not turn within reach of these runs."
    elif high is not None and high < float(kl.min()):
        sentence = f"It falls already from the least KL on that was reached, {float(kl.min()):.2g} nats."
    elif fit.inside:
        sentence = f"It peaks near a KL of {peak:.1f} nats and falls beyond."
    else:
        sentence = f"Its peak, near {peak:.1f} nats, lies outside what was run: an extrapolation."
    return {
        "a": fit.a,
        "b": fit.b,
        "peak": peak,
        "peak_low": low,
        "peak_high": high,
        "inside": fit.inside,
        "kl_low": float(kl.min()),
        "kl_high": farthest,
        "sentence": sentence,
        "notes": list(fit.notes),
    }


def _within(distance: float | None, farthest: float) -> float | None:
    """The KL of a distance √KL; None far beyond what was run, where a nearly straight line puts its peak."""
    return None if distance is None or distance > (FAR * farthest) ** 0.5 else distance**2
