"""Revising in steps: what each step sees, which principle it draws, and rows that come to a halt."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from alignlab.annotators.feedback import Draft, Revision
from alignlab.data.schema import Prompt
from alignlab.seeding import Seeds
from alignlab.stages import revised
from alignlab.stages.revised import Row


class Counter:
    """Adds a stroke to each draft; falls silent on those that it is told to."""

    def __init__(self, silent: str = "") -> None:
        self.silent, self.seen = silent, list[Draft]()

    def revise(self, drafts: Sequence[Draft]) -> list[Revision | None]:
        self.seen += drafts
        return [None if draft.reply == self.silent else Revision("more", draft.reply + "'") for draft in drafts]


def rows(count: int) -> list[Row]:
    return [Row(Prompt(id=f"{i}", text="x"), f"{i}", True) for i in range(count)]


def test_each_step_revises_what_the_one_before_left() -> None:
    asked, made = Counter(silent="1'"), rows(3)
    for step in range(3):
        revised.revise(asked, made, step, 4, Seeds(0))
    assert [row.last for row in made] == ["0'''", "1'", "2'''"]
    assert [len(row.steps) for row in made] == [3, 1, 3]
    assert [draft.reply for draft in asked.seen[3:]] == ["0'", "1'", "2'", "0''", "2''"]


def test_principles_are_drawn_for_each_row_and_step() -> None:
    def drawn(seed: int) -> list[tuple[int, int]]:
        asked, made = Counter(), rows(200)
        for step in range(2):
            revised.revise(asked, made, step, 4, Seeds(seed))
        assert [number for row in made for number, _ in row.steps[:1]] == [
            draft.principle for draft in asked.seen[:200]
        ]
        assert len({draft.seed for draft in asked.seen}) == 400
        return [(row.steps[0][0], row.steps[1][0]) for row in made]

    first = drawn(0)
    assert first == drawn(0) != drawn(1)
    assert len(set(first)) == 16


def test_health_says_what_revising_did() -> None:
    made = rows(2)
    made[0].steps.append((0, Revision("", "00")))
    made[1].steps.append((0, Revision("", "1")))
    known = SimpleNamespace(source=SimpleNamespace(gold=lambda prompt, reply, ended: float(len(reply))))
    figures = {"changed": 0.5, "gold_of_samples": 1.0, "gold_of_revisions": 1.5}
    assert revised.health(known, made) == pytest.approx(figures)
    unknown = SimpleNamespace(source=SimpleNamespace(gold=lambda prompt, reply, ended: None))
    assert revised.health(unknown, made) == {"changed": 0.5}
