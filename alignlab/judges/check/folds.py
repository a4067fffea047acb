"""Verdicts of a judge that learns, on replies it has not learned from.

Each reply is judged by one that saw neither its prompt nor, where labels come from several models, any reply of its
model or of a model of its family: the error on a policy that nobody has labelled yet, which is what a run asks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from alignlab.data.schema import Verdict
from alignlab.errors import DataError
from alignlab.judges.labels import Labelled
from alignlab.judges.verdicts import Judge

FOLDS = 5


class Part(NamedTuple):
    """One part of a cross-check."""

    learned: list[Labelled]
    tested: list[int]
    """Places among the replies that are tested."""


def fold_of(row: Labelled, folds: int) -> int:
    """Which fold a reply's prompt belongs to: a function of its text, alike for all models."""
    return int(hashlib.sha256(row.prompt.id.encode()).hexdigest(), 16) % folds


def parts(labels: Sequence[Labelled], rows: Sequence[Labelled], folds: int = FOLDS) -> Iterator[Part]:
    """For every family and fold among `rows`: labels of other families and other prompts, and the replies to test.

    A model without a family is one of its own. Families are told apart only where labels come from more than one.
    """
    several = len({row.unit for row in labels}) > 1
    groups: dict[tuple[str, int], list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault((row.unit if several else "", fold_of(row, folds)), []).append(place)
    for (unit, fold), tested in sorted(groups.items()):
        learned = [row for row in labels if fold_of(row, folds) != fold and not (several and row.unit == unit)]
        yield Part(learned, tested)


def held_out(
    labels: Sequence[Labelled],
    rows: Sequence[Labelled],
    learn: Callable[[Sequence[Labelled]], Judge],
    folds: int = FOLDS,
) -> list[Verdict | None]:
    """A verdict on every reply by a judge that did not learn from it. DataError where too little is left to learn."""
    found: list[Verdict | None] = [None] * len(rows)
    for part in parts(labels, rows, folds):
        if not part.learned:
            raise DataError(
                f"{len(labels)} labelled replies leave nothing to learn from once prompt and model are held out",
                "label replies to more prompts",
            )
        judge = learn(part.learned)
        said = judge([rows[place].prompt for place in part.tested], [rows[place].text for place in part.tested])
        for place, verdict in zip(part.tested, said, strict=True):
            found[place] = verdict
    return found


def scheme(labels: Sequence[Labelled], folds: int = FOLDS) -> str:
    """What was held out, in words."""
    models, units = len({row.model for row in labels}), len({row.unit for row in labels})
    several = f"{units} models" if units == models else f"{units} families of {models} models"
    left = f"one of {several} and " if units > 1 else ""
    return f"held out: {left}a fold of prompts in {folds}"
