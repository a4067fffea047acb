"""What was gained for how far a policy moved: final points, fits of overoptimisation, gain at matched KL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alignlab.compare import blocks, frontiers, overoptimisation
from alignlab.compare.conditions import Condition
from alignlab.compare.intervals import mean_interval
from alignlab.compare.overoptimisation import LEARNED
from alignlab.compare.runs import Run
from alignlab.errors import DataError

LEVELS = 5
"""KL at which methods are compared."""
TARGETS = ("gold", "proxy")


def _gain(run: Run, name: str) -> float | None:
    after, before = run.metrics.get(name), run.sft.get(name)
    return None if after is None or before is None else after - before


def frontier(rows: Sequence[Condition], primary: str) -> dict[str, Any]:
    """Final points of every run, the curve of best-of-n of the start, and a fit for each method with enough points."""
    points = [
        {
            "id": condition.id,
            "seed": seed,
            "kl": run.metrics.get("kl"),
            "gold": _gain(run, primary),
            "proxy": _gain(run, "proxy"),
        }
        for condition in rows
        for seed, run in condition.runs.items()
    ]
    return {"points": points, "best_of": _best_of_n(rows, primary), "fits": _fits(rows, primary)}


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
        means = {
            name: float(np.mean([each[key] for each in here]))
            if all(each.get(key) is not None for each in here)
            else None
            for name, key in (("gold", primary), ("proxy", "proxy"))
        }
        found.append({"n": n, "kl": here[0]["kl"], **means})
    return found


def _fits(rows: Sequence[Condition], primary: str) -> list[dict[str, Any]]:
    """By preset, since a curve takes points of several settings: gain against drift in the form of learned policies."""
    by_name: dict[str, list[tuple[int, Run, str]]] = defaultdict(list)
    for condition in rows:
        if condition.first.about.get("kl_known") != "bound":
            by_name[condition.name] += [(seed, run, condition.id) for seed, run in condition.runs.items()]
    found = []
    for name, runs in by_name.items():
        if len({own for _, _, own in runs}) < 3:
            continue
        for target in TARGETS:
            score = primary if target == "gold" else target
            known = [(run.metrics.get("kl"), _gain(run, score), seed) for seed, run, _ in runs]
            usable = [each for each in known if None not in each]
            fit = _fit(usable)
            if fit is not None:
                found.append({"id": runs[0][2], "name": name, "form": "rl", "target": target, **fit})
    return found


def _fit(points: Sequence[tuple[Any, Any, int]]) -> dict[str, Any] | None:
    if len(points) < 4:
        return None
    kl, gain, seeds = (np.asarray(column) for column in zip(*points, strict=True))
    try:
        fit = overoptimisation.fit(np.maximum(kl, 0.0), gain, seeds, LEARNED)
    except DataError:
        return None
    peak = None if fit.peak is None else fit.peak**2
    low, high = (None if each is None else each**2 for each in fit.peak_interval)
    if peak is None:
        sentence = "It does not turn within reach of these runs."
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
        "kl_high": float(kl.max()),
        "sentence": sentence,
        "notes": list(fit.notes),
    }


def matched_kl(rows: Sequence[Condition], primary: str) -> dict[str, Any] | None:
    """Gain at common values of KL, for presets that were run at several settings; None for fewer than two such."""
    by_name: dict[str, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    settings: dict[str, set[str]] = defaultdict(set)
    for condition in rows:
        if condition.first.about.get("kl_known") == "bound":
            continue
        settings[condition.name].add(condition.id)
        for seed, run in condition.runs.items():
            gain, kl = _gain(run, primary), run.metrics.get("kl")
            if gain is not None and kl is not None:
                by_name[condition.name][seed].append((max(kl, 0.0), gain))
    curves = {
        name: {seed: tuple(zip(*points, strict=True)) for seed, points in by_seed.items()}
        for name, by_seed in by_name.items()
        if len(settings[name]) > 1
    }
    if len(curves) < 2:
        return None
    spans = [frontiers.common_range([curve]) for by_seed in curves.values() for curve in by_seed.values()]
    known = [span for span in spans if span]
    low, high = float(np.median([span[0] for span in known])), float(np.median([span[1] for span in known]))
    levels = [float(f"{at:.2g}") for at in np.linspace(low**0.5, high**0.5, LEVELS) ** 2]
    table: dict[str, list[Any]] = {name: [] for name in curves}
    for at in levels:
        names, _, values = frontiers.matched(curves, at)
        for name, line in zip(names, values, strict=True):
            table[name].append(_estimate(line))
    best = _separated(curves, levels)
    return {
        "kl": levels,
        "rows": [{"id": name, "label": name, "values": values} for name, values in table.items()],
        "sentence": best,
    }


def _estimate(line: Any) -> dict[str, Any] | None:
    if not np.isfinite(line).any():
        return None
    found = mean_interval(line)
    return {"mean": found.value, "low": found.low, "high": found.high, "n": found.n}


def _separated(curves: Mapping[str, Any], levels: Sequence[float]) -> str:
    """Whether methods differ in the middle of what they share."""
    at = levels[len(levels) // 2]
    names, seeds, values = frontiers.matched(curves, at)
    reached = np.isfinite(values).any(1)
    if reached.sum() < 2:
        return f"Fewer than two methods reach a KL of {at:g}."
    kept = [name for name, known in zip(names, reached, strict=True) if known]
    found = blocks.all_pairs(values[reached], kept, seeds)
    apart = [pair for pair in found.pairs if pair.separated]
    if not apart:
        return f"At a KL of {at:g} nats no method is told apart from another: differences above it are drift, or noise."
    first = apart[0]
    better, worse = (first.a, first.b) if first.difference > 0 else (first.b, first.a)
    share = f"{len(apart)} of {len(found.pairs)} pairs are told apart"
    return f"At a KL of {at:g} nats {share}, {better} above {worse} among them."
