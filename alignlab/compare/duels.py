"""Every row against every other on the same requests: win rates, plain and at equal length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alignlab.compare.conditions import Condition
from alignlab.compare.content import number
from alignlab.compare.intervals import Estimate
from alignlab.compare.pools import Pool
from alignlab.compare.rows import SFT
from alignlab.compare.runs import Run
from alignlab.compare.winrates import length_controlled, outcomes, win_matrix

MOST = 60
"""Rows of the matrix; more than these, by order of appearance, are left out of it."""

Array = np.ndarray[Any, Any]
Cells = list[list[float | None]]


def duels(pools: Sequence[Pool], primary: str, common: bool) -> dict[str, Any] | None:
    """The matrix over rows and SFT, and each row's controlled rate against SFT by seed. None without scores.

    Rows of different pools do not meet, nor do rows that answered no common request: their cells are None. SFT is in
    the matrix where it is `common` to all rows; the rates against SFT are always against the run's own.
    """
    count, parts = 0, []
    for pool in pools:
        own = [condition for condition in pool.rows if any(run.scores for run in condition.runs.values())]
        parts.append(own[: MOST - count])
        count += len(parts[-1])
    met = [_met(part, primary, common) for part in parts if part]
    ids = [name for found in met for name in found.ids]
    if not any(len(found.ids) > 1 for found in met):
        return None
    return {
        "ids": ids,
        "raw": _whole([found.raw for found in met]),
        "controlled": _whole([found.controlled for found in met]),
        "by": primary,
        "against_sft": {row.id: _against_sft(row, primary) for part in parts for row in part},
    }


@dataclass(frozen=True)
class _Met:
    """Rows of a pool against each other."""

    ids: list[str]
    raw: Cells
    controlled: Cells


def _met(rows: Sequence[Condition], primary: str, common: bool) -> _Met:
    seeds = sorted({seed for condition in rows for seed in condition.runs})
    keys = {seed: _keys(rows, seed) for seed in seeds}
    scores, lengths = _tables(rows, seeds, keys, primary)
    known: Array = np.asarray(np.isfinite(scores).any((1, 2)))
    known[0] &= common
    ids = [each for each, some in zip([SFT, *(condition.id for condition in rows)], known, strict=True) if some]
    if not ids:
        return _Met([], [], [])
    found = win_matrix(scores[known], ids, lengths[known])
    assert found.controlled is not None
    return _Met(ids, _values(found.raw), _values(found.controlled))


def _values(cells: Sequence[Sequence[Estimate | None]]) -> Cells:
    return [[None if each is None else each.value for each in line] for line in cells]


def _whole(parts: Sequence[Cells]) -> Cells:
    """Square tables along the diagonal of one, None elsewhere."""
    size, start, found = sum(map(len, parts)), 0, []
    for part in parts:
        end = start + len(part)
        found += [[*[None] * start, *line, *[None] * (size - end)] for line in part]
        start = end
    return found


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
    return np.array([np.nan if number(value) is None else value for value in values], dtype=np.float64)


def _against_sft(row: Condition, primary: str) -> dict[str, float]:
    """The controlled rate of each run against the SFT policy it started from, by seed."""
    found = {}
    for seed, run in row.runs.items():
        size = len(_requests(run))
        own, sft = (
            {name: _numbers((run.scores.get(side) or {}).get(name), size) for name in (primary, "length")}
            for side in ("own", "sft")
        )
        delta = own["length"] - sft["length"]
        won = np.where(np.isfinite(delta), outcomes(own[primary], sft[primary]), np.nan)
        if np.isfinite(won).any():
            found[str(seed)] = length_controlled(won, delta).value
    return found
