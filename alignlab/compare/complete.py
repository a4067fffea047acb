"""From a table with gaps to complete blocks: the seeds that all compared methods met.

Which runs are missing is rarely chance: those that fail tend to be the bad ones. So nothing is filled in, and every
seed and method that falls away is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alignlab.errors import DataError

from .intervals import Floats, names_of


@dataclass(frozen=True)
class Table:
    """The common seeds of the compared methods, highest mean first."""

    values: Floats
    """(K, S) without gaps; S is 0 where no seed is common."""
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    dropped: tuple[int, ...]
    """Seeds at which a compared method has no figure."""
    left_out: tuple[str, ...]
    """Methods that would leave the others fewer than two common seeds."""
    notes: tuple[str, ...]


def complete_blocks(
    values: ArrayLike, methods: Sequence[str], seeds: Sequence[int] | None = None, keep: str | None = None
) -> Table:
    """Reduce a table to the seeds that all compared methods met.

    Args:
        values: (K, S) a figure for each method and seed; what is not finite counts as missing.
        methods: (K,) names.
        seeds: (S,) seeds, 0 to S − 1 by default.
        keep: a method that is not left out while another can be.

    Raises:
        DataError: names or seeds do not fit the table.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not array.size:
        raise DataError(f"a table of shape {array.shape} is not methods × seeds", "give every method a row of figures")
    names = names_of(methods, array.shape[0])
    labels = _labels(seeds, array.shape[1])
    present = np.isfinite(array)
    rows = _rows(present, None if keep is None else names.index(keep))
    whole = present[rows].all(0) if rows else np.zeros(array.shape[1], dtype=bool)
    if whole.any():
        means = array[:, whole].mean(1)
        rows.sort(key=lambda row: -float(means[row]))
    left_out = tuple(name for row, name in enumerate(names) if row not in rows)
    notes = [f"{name} is left out: too few seeds in common with the others." for name in left_out]
    for column in np.flatnonzero(~whole).tolist():
        gaps = [names[row] for row in sorted(rows) if not present[row, column]]
        notes.append(f"Seed {labels[column]} is left out: no figure for {', '.join(gaps) or 'any method'}.")
    return Table(
        array[rows][:, whole],
        tuple(names[row] for row in rows),
        tuple(labels[column] for column in np.flatnonzero(whole).tolist()),
        tuple(labels[column] for column in np.flatnonzero(~whole).tolist()),
        left_out,
        tuple(notes),
    )


def _labels(seeds: Sequence[int] | None, columns: int) -> tuple[int, ...]:
    labels = tuple(range(columns)) if seeds is None else tuple(seeds)
    if len(labels) != columns or len(set(labels)) != columns:
        raise DataError(f"{len(set(labels))} seeds for {columns} columns", "give every column a seed of its own")
    return labels


def _rows(present: NDArray[np.bool_], keep: int | None) -> list[int]:
    """Rows that share two seeds, else one: those with fewest figures go first, the later of equals."""
    rows = list(range(len(present)))
    if present.all():
        return rows
    for need in (2, 1):
        rows = [
            row for row in range(len(present)) if present[row].sum() >= need or (row == keep and present[row].any())
        ]
        while len(rows) > 1 and present[rows].all(0).sum() < need:
            spare = [row for row in reversed(rows) if row != keep]
            rows.remove(min(spare, key=lambda row: int(present[row].sum())))
        if len(rows) >= min(2, len(present)):
            break
    return rows
