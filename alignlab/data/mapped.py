"""Many rows in one Arrow file: written as a stream, mapped into memory, built one by one where they are asked for.

The file is Arrow's stream format, which `datasets.Dataset.from_file` opens too, texts with lone surrogates aside. It is
written and read by pyarrow alone: importing `datasets` takes 0.8 s and each of its rows 130 µs, a row here 10 µs, since
cells are views of the file. Memory holds one batch of rows while writing, and while reading nothing but what the
operating system may drop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

import numpy as np

from alignlab.errors import DataError

ROWS = 1024
"""Rows in a record batch, the last one of a file aside, so that a row's batch is known by its number."""
T = TypeVar("T")


class Cell(StrEnum):
    """What a column holds in every row."""

    IDS = "ids"  # token ids, one dimension, int32
    LOGPS = "logps"  # one dimension, float32
    TEXT = "text"  # UTF-8, lone surrogates included
    COUNT = "count"  # int64
    NUMBER = "number"  # float64 or None
    FLAG = "flag"  # bool


Layout = dict[str, Cell]
"""Columns in order."""
_ARRAYS = {Cell.IDS: np.int32, Cell.LOGPS: np.float32}
_SCALARS = {Cell.COUNT: np.int64, Cell.NUMBER: np.float64, Cell.FLAG: np.uint8}


class Lazy(Sequence[T], Generic[T]):
    """A sequence whose items are made when they are asked for; slices are lists. Equal to any sequence of its items."""

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        if isinstance(at, slice):
            return [self._make(row) for row in range(*at.indices(self._count))]
        row = at + self._count if at < 0 else at
        if not 0 <= row < self._count:
            raise IndexError(f"row {at} of {self._count}")
        return self._make(row)

    def __iter__(self) -> Iterator[T]:
        return map(self._make, range(self._count))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(lambda one, two: one == two, self, other))

    __hash__ = None  # type: ignore[assignment]


class Writer:
    """Writes rows of one layout; whole when the `with` block has ended without an exception."""

    def __init__(self, path: Path, layout: Layout) -> None:
        import pyarrow as pa

        kinds = {
            Cell.IDS: pa.list_(pa.int32()),
            Cell.LOGPS: pa.list_(pa.float32()),
            Cell.TEXT: pa.string(),
            Cell.COUNT: pa.int64(),
            Cell.NUMBER: pa.float64(),
            Cell.FLAG: pa.uint8(),
        }
        self.rows = 0
        """Rows added so far."""
        self._layout = layout
        self._schema = pa.schema([(name, kinds[cell]) for name, cell in layout.items()])
        self._stream = pa.ipc.new_stream(str(path), self._schema)
        self._waiting: list[Sequence[Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._stream.close()

    def add(self, row: Sequence[Any]) -> None:
        """One row, a value for each column in order; arrays may be any sequence of numbers."""
        self._waiting.append(row)
        self.rows += 1
        if len(self._waiting) == ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._waiting:
            return
        columns = zip(self._layout.values(), zip(*self._waiting, strict=True), strict=True)
        arrays = [_column(cell, values) for cell, values in columns]
        self._stream.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._waiting = []


def _column(cell: Cell, values: Sequence[Any]) -> Any:
    import pyarrow as pa

    if cell is Cell.TEXT:
        raw = [text.encode("utf-8", "surrogatepass") for text in values]
        starts = pa.py_buffer(_starts(list(map(len, raw))))
        return pa.StringArray.from_buffers(len(raw), starts, pa.py_buffer(b"".join(raw)))
    if cell in _ARRAYS:
        flat = np.concatenate([np.asarray(value, _ARRAYS[cell]) for value in values])
        return pa.ListArray.from_arrays(pa.array(_starts(list(map(len, values)))), pa.array(flat))
    if cell is Cell.NUMBER:
        values = [math.nan if value is None else value for value in values]
    return pa.array(np.array(values, _SCALARS[cell]))


def _starts(lengths: list[int]) -> np.ndarray:
    starts = np.concatenate([[0], np.cumsum(lengths)])
    if starts[-1] > np.iinfo(np.int32).max:
        raise DataError(
            f"{len(lengths):,} rows in a row hold more than 2 GiB in one column", "shorten the longest rows"
        )
    return starts.astype(np.int32)


class Columns:
    """A file that `Writer` wrote, mapped. Arrays are views of it and cannot be written to."""

    def __init__(self, path: Path, layout: Layout) -> None:
        import pyarrow as pa

        with pa.memory_map(str(path)) as file:
            self._batches = pa.ipc.open_stream(file).read_all().to_batches()
        self._layout = layout
        self._count: int = sum(batch.num_rows for batch in self._batches)
        self._cells: dict[int, list[Callable[[int], Any]]] = {}

    def __len__(self) -> int:
        return self._count

    def row(self, at: int) -> list[Any]:
        """The cells of a row in the order of the columns."""
        number, place = divmod(at, ROWS)
        if number not in self._cells:
            batch = self._batches[number]
            self._cells[number] = [_reader(cell, batch.column(name)) for name, cell in self._layout.items()]
        return [read(place) for read in self._cells[number]]

    def whole(self, name: str) -> np.ndarray:
        """A column of counts, numbers (NaN for None) or flags (0 and 1) as one array, (rows,)."""
        parts = [_numbers(batch.column(name)) for batch in self._batches]
        return np.concatenate(parts) if parts else np.zeros(0)


def mapped(path: Path, layout: Layout, make: Callable[..., T]) -> Lazy[T]:
    """Rows of a file, each made by `make` of its cells."""
    columns = Columns(path, layout)
    return Lazy(len(columns), lambda at: make(*columns.row(at)))


def _numbers(column: Any) -> np.ndarray:
    found: np.ndarray = column.to_numpy(zero_copy_only=True)
    return found


def _reader(cell: Cell, column: Any) -> Callable[[int], Any]:
    """What gives the cell of a row of one record batch."""
    if cell is Cell.TEXT:
        _, starts, data = column.buffers()
        ends, raw = memoryview(starts).cast("i"), memoryview(data or b"")
        return lambda at: str(raw[ends[at] : ends[at + 1]], "utf-8", "surrogatepass")
    if cell in _ARRAYS:
        ends, values = _numbers(column.offsets).data, _numbers(column.values)
        return lambda at: values[ends[at] : ends[at + 1]]
    numbers = _numbers(column).data  # a memoryview gives Python's own numbers, and faster than an array
    if cell is Cell.NUMBER:
        return lambda at: None if math.isnan(numbers[at]) else numbers[at]
    return (lambda at: bool(numbers[at])) if cell is Cell.FLAG else numbers.__getitem__
