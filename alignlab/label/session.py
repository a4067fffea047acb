"""One annotator's way through a plan: what comes next, what was said, and taking it back.

The state is the file of labels and nothing else: a session that is started again goes on where the file ends.
Torch-free.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from alignlab.errors import AlignlabError
from alignlab.label.items import Plan, Showing
from alignlab.label.store import Judgement, LabelFile

RECENT = 20
"""Answers whose times make the estimate."""


class RefusedError(AlignlabError):
    """An answer that does not fit what was asked."""


class StaleError(RefusedError):
    """An answer to a question that is no longer, or not yet, the present one."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a session is."""

    done: int
    total: int
    seconds_left: float | None
    """By the median of recent answers; None before there are any."""


class Session:
    """Thread-safe: requests of a page may arrive at the same time."""

    def __init__(self, plan: Plan, file: LabelFile, annotator: str) -> None:
        self.lock = threading.RLock()
        self._file, self._annotator = file, annotator
        self._showings = {showing.id: showing for showing in plan.showings}
        self._again: str | None = None
        """The question that was just taken back, which comes next."""

    def _rows(self) -> dict[str, Judgement]:
        """This annotator's judgements on the plan's questions by id, in the order they were given."""
        mine = (row for row in self._file.rows if row.annotator == self._annotator)
        return {row.id: row for row in mine if row.id in self._showings}

    def current(self) -> Showing | None:
        """The question to ask now; None when all are answered."""
        with self.lock:
            if self._again is not None:
                return self._showings[self._again]
            rows = self._rows()
            return next((each for each in self._open(rows)), None)

    def _open(self, rows: dict[str, Judgement]) -> list[Showing]:
        """Questions without an answer. What was skipped is not asked again."""
        skipped = {id for id, row in rows.items() if row.ranks is None}
        return [each for each in self._showings.values() if each.id not in rows and each.repeat_of not in skipped]

    def answer(self, id: str, shown: Sequence[int] | None, seconds: float) -> None:
        """Save ranks in the order shown, 1 the best; None skips. On the disk when this returns.

        StaleError when `id` is not the present question, RefusedError for ranks that do not fit it, StoreError
        when the disk refuses.
        """
        with self.lock:
            showing = self.current()
            if showing is None or showing.id != id:
                raise StaleError("this question is answered already")
            self._file.append(
                Judgement(
                    id=showing.id,
                    item=showing.item,
                    repeat_of=showing.repeat_of,
                    prompt=showing.prompt,
                    attempt=showing.attempt,
                    completions=showing.completions,
                    order=showing.order,
                    ranks=None if shown is None else _ranks(shown, showing.order),
                    seconds=seconds,
                    annotator=self._annotator,
                    time=datetime.now(UTC).isoformat(timespec="seconds"),
                )
            )
            self._again = None

    def undo(self) -> bool:
        """Take back the last answer, whose question then comes next; False when there is none."""
        with self.lock:
            rows = list(self._rows().values())
            if not rows:
                return False
            self._file.undo(rows[-1])
            self._again = rows[-1].id
            return True

    def progress(self) -> Progress:
        """Answered, all, and the time the rest may take."""
        with self.lock:
            rows = self._rows()
            left = len(self._open(rows))
            recent = [row.seconds for row in rows.values()][-RECENT:]
            return Progress(len(rows), len(rows) + left, median(recent) * left if recent else None)


def _ranks(shown: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """Ranks by completion from ranks by place, without gaps."""
    if len(shown) != len(order) or not all(type(rank) is int and 1 <= rank <= len(order) for rank in shown):
        raise RefusedError(f"ranks must be {len(order)} numbers from 1 to {len(order)}, got {list(shown)!r}")
    dense = {rank: place for place, rank in enumerate(sorted(set(shown)), start=1)}
    by_completion = dict(zip(order, shown, strict=True))
    return tuple(dense[by_completion[place]] for place in range(len(order)))


def spoken(seconds: float | None) -> str:
    """A time that is left, for people: '' when it is not known."""
    if seconds is None:
        return ""
    if seconds < 90:
        return "about a minute left" if seconds > 0 else ""
    return f"about {seconds / 60:.0f} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"
