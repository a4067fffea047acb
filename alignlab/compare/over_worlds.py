"""Presets over several conditions: other data, labels, budgets or models, each a world (arXiv 2108.13264)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from alignlab.compare import labels, worlds
from alignlab.compare.conditions import Condition
from alignlab.compare.intervals import Estimate
from alignlab.compare.pools import pools

NAMED = 3
"""Presets that the sentence speaks of."""
MARKS = 31
"""Gains at which a profile is drawn."""


def over_worlds(rows: Sequence[Condition], primary: str) -> dict[str, Any] | None:
    """Interquartile mean of the gain, and the probability that a run of one preset beats one of another.

    A world is what rows have besides `algo.*`. Presets count that have one row in each; those run at several settings
    of their own have no single figure there. The mean is left out where gains have no common unit. None for fewer than
    two such worlds or presets.
    """
    table: dict[str, dict[str, list[Condition]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        table[row.name][labels.text(labels.outside(row.settings))].append(row)
    everywhere = list(dict.fromkeys(world for own in table.values() for world in own))
    kept = {
        name: [own[world][0] for world in everywhere]
        for name, own in table.items()
        if len(own) == len(everywhere) and all(len(found) == 1 for found in own.values())
    }
    scores = {name: [_gains(row, primary) for row in own] for name, own in kept.items()}
    scores = {name: own for name, own in scores.items() if all(own)}
    if len(everywhere) < 2 or len(scores) < 2:
        return None
    used = [row for name in scores for row in kept[name]]
    return _content(scores, kept, one_unit=len(pools(used, primary)) == 1)


def _gains(row: Condition, primary: str) -> list[float]:
    return [gain for run in row.runs.values() if (gain := run.gain(primary)) is not None]


def _content(
    scores: dict[str, list[list[float]]], kept: dict[str, list[Condition]], *, one_unit: bool
) -> dict[str, Any]:
    first = next(iter(scores))
    names = [
        labels.named("", labels.outside(row.shown)).strip() or f"world {place}"
        for place, row in enumerate(kept[first], 1)
    ]
    middle = {name: worlds.interquartile_interval(own) for name, own in scores.items()} if one_unit else {}
    pairs = {(a, b): worlds.probability_of_improvement(scores[a], scores[b]) for a in scores for b in scores if a != b}
    order = sorted(scores, key=lambda name: -sum(found.value for (a, _), found in pairs.items() if a == name))
    return {
        "worlds": names,
        "rows": [
            {
                "id": name,
                "label": name,
                "iqm": _plain(middle.get(name)),
                "gains": [float(np.mean(own)) for own in scores[name]],
            }
            for name in order
        ],
        "improvement": [{"a": a, "b": b, **(_plain(found) or {})} for (a, b), found in pairs.items()],
        "profiles": _profiles(scores, order) if one_unit else None,
        "sentence": _sentence(len(names), order, middle, pairs),
    }


def _profiles(scores: dict[str, list[list[float]]], order: Sequence[str]) -> dict[str, Any]:
    """For each preset the share of runs that gain more than each of some amounts, with a band where seeds repeat."""
    pooled = [gain for own in scores.values() for world in own for gain in world]
    marks = np.linspace(min(pooled), max(pooled), MARKS)
    curves = []
    for name in order:
        shares = worlds.performance_profile(scores[name], marks).tolist()
        low, high = (None,) * MARKS, (None,) * MARKS
        if all(len(world) > 1 for world in scores[name]):
            low, high = (edge.tolist() for edge in worlds.profile_band(scores[name], marks))
        found = zip(shares, low, high, strict=True)
        curves.append({"id": name, "shares": [{"mean": share, "low": a, "high": b} for share, a, b in found]})
    return {"at": marks.tolist(), "curves": curves}


def _plain(found: Estimate | None) -> dict[str, Any] | None:
    return None if found is None else {"mean": found.value, "low": found.low, "high": found.high}


def _sentence(
    count: int,
    order: Sequence[str],
    middle: dict[str, Estimate],
    pairs: dict[tuple[str, str], Estimate],
) -> str:
    said = []
    if middle:
        figures = ", ".join(f"{name} {_shown(middle[name])}" for name in order[:NAMED])
        said.append(f"interquartile mean of the gain {figures}")
    best, rest = order[0], order[1:NAMED]
    wins = ", ".join(f"one of {other} with probability {_shown(pairs[best, other])}" for other in rest)
    said.append(f"a run of {best} gains more than {wins}")
    return f"Over {count} conditions, seeds resampled inside each: {'; '.join(said)}."


def _shown(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
