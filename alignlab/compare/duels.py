"""Every row against every other on the same requests: win rates, plain and at equal length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alignlab.compare.conditions import Condition
from alignlab.compare.rows import SFT
from alignlab.compare.runs import Run
from alignlab.compare.winrates import length_controlled, outcomes, win_matrix

MOST = 60
"""Rows of the matrix; more than these, by order of appearance, are left out of it."""

Array = np.ndarray[Any, Any]


def duels(rows: Sequence[Condition], primary: str) -> dict[str, Any] | None:
    """The matrix over rows and SFT, and each row's controlled rate against SFT by seed. None without scores."""
    shown = [condition for condition in rows if any(run.scores for run in condition.runs.values())][:MOST]
    if not shown:
        return None
    seeds = sorted({seed for condition in shown for seed in condition.runs})
    keys = {seed: _keys(shown, seed) for seed in seeds}
    scores, lengths = _tables(shown, seeds, keys, primary)
    known = np.isfinite(scores).any((1, 2))
    ids = [each for each, some in zip([SFT, *(condition.id for condition in shown)], known, strict=True) if some]
    if len(ids) < 2 or not _share(scores[known]):
        return None
    found = win_matrix(scores[known], ids, lengths[known])
    assert found.controlled is not None
    return {
        "ids": ids,
        "raw": [[each.value for each in line] for line in found.raw],
        "controlled": [[each.value for each in line] for line in found.controlled],
        "by": primary,
        "against_sft": _against_sft(ids, seeds, scores[known], lengths[known]) if ids[0] == SFT else {},
    }


def _share(scores: Array) -> bool:
    """Whether any two rows answered the same requests, for every pair."""
    present = np.isfinite(scores).reshape(len(scores), -1).astype(float)
    return bool(((present @ present.T) > 0).all())


def _keys(rows: Sequence[Condition], seed: int) -> dict[tuple[str, int], int]:
    """Requests of a seed and their columns."""
    found: dict[tuple[str, int], int] = {}
    for condition in rows:
        run = condition.runs.get(seed)
        for key in _requests(run) if run else ():
            found.setdefault(key, len(found))
    return found


def _requests(run: Run) -> list[tuple[str, int]]:
    return list(zip(run.scores.get("prompt", ()), run.scores.get("attempt", ()), strict=False))


def _tables(
    rows: Sequence[Condition], seeds: Sequence[int], keys: Mapping[int, Mapping[tuple[str, int], int]], primary: str
) -> tuple[Array, Array]:
    """Scores and lengths (1 + K, S, P) of SFT and every row, NaN where there is none."""
    width = max((len(found) for found in keys.values()), default=0)
    scores = np.full((1 + len(rows), len(seeds), width), np.nan)
    lengths = scores.copy()
    for place, condition in enumerate(rows, 1):
        for column, seed in enumerate(seeds):
            run = condition.runs.get(seed)
            if run is None or not run.scores:
                continue
            at = [keys[seed][key] for key in _requests(run)]
            for target, side in ((place, "own"), (0, "sft")):
                columns = run.scores.get(side) or {}
                scores[target, column, at] = _numbers(columns.get(primary), len(at))
                lengths[target, column, at] = _numbers(columns.get("length"), len(at))
    scores[np.isnan(lengths)] = np.nan
    return scores, lengths


def _numbers(values: Any, count: int) -> Array:
    if not isinstance(values, list) or len(values) != count:
        return np.full(count, np.nan)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _against_sft(
    ids: Sequence[str], seeds: Sequence[int], scores: Array, lengths: Array
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for place, name in enumerate(ids[1:], 1):
        won = outcomes(scores[place], scores[0])
        delta = lengths[place] - lengths[0]
        here = {
            str(seed): length_controlled(won[column], delta[column]).value
            for column, seed in enumerate(seeds)
            if np.isfinite(won[column]).any()
        }
        found[name] = here
    return found
