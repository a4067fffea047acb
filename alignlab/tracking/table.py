"""A CSV file that grows by rows and, now and then, by columns, and that can be wound back to a checkpoint."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from alignlab.errors import StoreError
from alignlab.stages.files import atomic_write_text, sync

Value = int | float | str


class CsvTable:
    """Append-only rows under a header. A new column rewrites the file once; earlier rows are blank there.

    Rows reach the operating system as they are written, so that a killed process loses none; `sync` makes them
    outlast a power cut. Whatever the file held before the first row is replaced, unless `restore` came first.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = list(columns)
        self.rows = 0
        self._open = False

    def append(self, row: Mapping[str, Value]) -> None:
        """Write one row; a column it lacks is left blank."""
        new = [name for name in row if name not in self.columns]
        if not self._open:
            self.columns += new
            atomic_write_text(self.path, _lines([self.columns]))
            self._open = True
        elif new:
            self._widen(new)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_lines([[_text(row.get(name, "")) for name in self.columns]]))
        self.rows += 1

    def restore(self, rows: int, columns: Sequence[str]) -> None:
        """Wind the file back to its first `rows` rows and to the columns it had then.

        Raises StoreError when the file does not hold them.
        """
        stored = _read(self.path) if rows else [list(columns)]
        if len(stored) <= rows or stored[0][: len(columns)] != list(columns):
            raise StoreError(
                f"{self.path} does not hold the {rows} rows that the checkpoint says were written before it",
                "delete the run directory and start the run again",
            )
        self.columns, self.rows, self._open = list(columns), rows, True
        atomic_write_text(self.path, _lines(line[: len(columns)] for line in stored[: rows + 1]))

    def sync(self) -> None:
        """Make what was written durable."""
        if self._open:
            sync(self.path)

    def read(self) -> list[dict[str, str]]:
        """Every row as text, blank columns left out."""
        stored = _read(self.path) if self.rows else [[]]
        return [{name: value for name, value in zip(stored[0], row, strict=True) if value} for row in stored[1:]]

    def _widen(self, new: Sequence[str]) -> None:
        stored = _read(self.path)
        self.columns += new
        blank = [""] * len(new)
        atomic_write_text(self.path, _lines([self.columns, *(row + blank for row in stored[1:])]))


def read_columns(path: str | Path) -> dict[str, list[float]]:
    """Every column of a metrics.csv as numbers, blanks left out. A file that is not there has no columns.

    Raises StoreError naming the file when a cell is not a number.
    """
    header, *rows = _read(Path(path)) or [[]]
    try:
        return {name: [float(row[i]) for row in rows if row[i]] for i, name in enumerate(header)}
    except (ValueError, IndexError) as error:
        raise StoreError(f"{path} is not a table of numbers: {error}", "delete it and run again") from error


def _text(value: Value) -> str:
    """The shortest text that reads back as the same number."""
    return repr(value) if isinstance(value, float) else str(value)


def _lines(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _read(path: Path) -> list[list[str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))
