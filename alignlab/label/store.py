"""The file of labels: one JSON line a judgement, on the disk before anybody is told that it was saved.

The file only grows. What was taken back is named by a later line, so that nothing that was once saved is ever
written over. A line that was cut off by a crash is set aside beside the file. Torch-free.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alignlab.data.rows import prompt_from_json, prompt_to_json
from alignlab.data.schema import Prompt
from alignlab.errors import DataError
from alignlab.label.inputs import Candidate
from alignlab.stages.files import disk_error, sync

SCHEMA = 1
"""Version of a row; a reader refuses any other."""
TORN = ".torn"
"""Ending of the file that keeps what a crash left of a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one person said about the completions of one showing."""

    id: str
    item: str
    repeat_of: str | None
    prompt: Prompt
    attempt: int
    completions: tuple[Candidate, ...]
    order: tuple[int, ...]
    """Which completion stood at each place."""
    ranks: tuple[int, ...] | None
    """Of each completion, 1 the best, equal where they tie; None where the question was skipped."""
    seconds: float
    annotator: str
    time: str
    """When, in UTC, as ISO 8601."""

    @property
    def answer(self) -> str:
        """skip, tie (all are equal), choice (one of two) or ranking (of more)."""
        if self.ranks is None:
            return "skip"
        if len(set(self.ranks)) == 1:
            return "tie"
        return "choice" if len(self.ranks) == 2 else "ranking"

    @property
    def choice(self) -> int | None:
        """The one best completion, None where there is none."""
        best = [place for place, rank in enumerate(self.ranks or ()) if rank == 1]
        return best[0] if len(best) == 1 else None


def line(judgement: Judgement) -> str:
    """A judgement as one line of JSON."""
    row = {
        "schema": SCHEMA,
        "id": judgement.id,
        "item": judgement.item,
        "repeat_of": judgement.repeat_of,
        "prompt": prompt_to_json(judgement.prompt),
        "attempt": judgement.attempt,
        "completions": [asdict(candidate) for candidate in judgement.completions],
        "order": judgement.order,
        "answer": judgement.answer,
        "choice": judgement.choice,
        "ranks": judgement.ranks,
        "seconds": round(judgement.seconds, 2),
        "annotator": judgement.annotator,
        "time": judgement.time,
    }
    return json.dumps(row, allow_nan=False) + "\n"


class LabelFile:
    """The file of labels of one session; hold its lock while it is open."""

    def __init__(self, path: Path) -> None:
        """Read what is there. `notes` says what was set aside. DataError for a line that is no judgement."""
        self.path = path
        self.notes: list[str] = []
        with disk_error(path):
            os.makedirs(path.parent, exist_ok=True)
            new = not path.exists()
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            if new:
                sync(path.parent)
            self._mend()
        self.rows = effective(_lines(path), path)

    def _mend(self) -> None:
        """Move what stands behind the last line feed to a file beside, unless it is a whole row."""
        data = self.path.read_bytes()
        whole, tail = _whole(data)
        if not tail:
            return
        if _is_row(tail):
            self._write(b"\n", len(data))
            return
        aside = self.path.with_name(self.path.name + TORN)
        with aside.open("ab") as file:
            file.write(tail + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.ftruncate(self._handle, len(whole))
        os.fsync(self._handle)
        self.notes.append(f"the last line of {self.path} was cut off; what is left of it is in {aside}")

    def append(self, judgement: Judgement) -> None:
        """Save a judgement. It is on the disk when this returns; StoreError, and nothing changed, when it cannot be."""
        self._append(line(judgement))
        self.rows.append(judgement)

    def undo(self, judgement: Judgement) -> None:
        """Take back a judgement, by a line that says so."""
        taken = {"schema": SCHEMA, "undo": judgement.id, "annotator": judgement.annotator}
        self._append(json.dumps(taken) + "\n")
        self.rows.remove(judgement)

    def _append(self, text: str) -> None:
        with disk_error(self.path):
            self._write(text.encode(), os.fstat(self._handle).st_size)

    def _write(self, data: bytes, end: int) -> None:
        """Write at the end and flush to the disk; a write that fails leaves no half of a line."""
        try:
            os.lseek(self._handle, end, os.SEEK_SET)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._handle, end)
            raise

    def close(self) -> None:
        """Give the file back. What comes later is refused and never reaches another file."""
        handle, self._handle = self._handle, -1
        os.close(handle)


def read_labels(path: str | Path) -> list[Judgement]:
    """Judgements of a file that were not taken back, in order; a line that a crash cut off is passed over.

    DataError names file and line of anything else that is no judgement.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file of labels {path}", "make one: python -m alignlab label ‹runs›")
    return effective(_lines(path), path)


def effective(lines: Sequence[str], path: Path) -> list[Judgement]:
    """Judgements of lines without those that a later line takes back."""
    found: list[Judgement] = []
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        row = _parsed(text, f"{path}, line {number}")
        if isinstance(row, Judgement):
            found.append(row)
            continue
        last = next((each for each in reversed(found) if (each.id, each.annotator) == row), None)
        if last is not None:
            found.remove(last)
    return found


def _whole(data: bytes) -> tuple[bytes, bytes]:
    """Whole lines, and what stands behind the last line feed."""
    end = data.rfind(b"\n") + 1
    return data[:end], data[end:]


def _lines(path: Path) -> list[str]:
    whole, tail = _whole(path.read_bytes())
    data = whole + tail if _is_row(tail) else whole
    try:
        return data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text", "name a file that `label` wrote") from error


def _is_row(tail: bytes) -> bool:
    try:
        return isinstance(json.loads(tail), dict)
    except ValueError:
        return False


def _parsed(text: str, where: str) -> Judgement | tuple[str, str]:
    """A judgement, or the id and annotator of the one that is taken back."""
    try:
        row = json.loads(text)
        if row.get("schema") != SCHEMA:
            raise DataError(f"{where} has schema version {row.get('schema')}, this version of alignlab reads {SCHEMA}")
        return (str(row["undo"]), str(row["annotator"])) if "undo" in row else _judgement(row)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{where} is no label: {error}", "name a file that `label` wrote, or remove the line"
        ) from error


def _judgement(row: Mapping[str, Any]) -> Judgement:
    completions = tuple(Candidate(**each) for each in row["completions"])
    order, ranks = tuple(row["order"]), None if row["ranks"] is None else tuple(row["ranks"])
    if sorted(order) != list(range(len(completions))) or (ranks is not None and len(ranks) != len(completions)):
        raise ValueError("order and ranks must name each completion once")
    names = ("id", "item", "repeat_of", "attempt", "annotator", "time")
    return Judgement(
        **{name: row[name] for name in names},
        prompt=prompt_from_json(row["prompt"]),
        completions=completions,
        order=order,
        ranks=ranks,
        seconds=float(row["seconds"]),
    )
