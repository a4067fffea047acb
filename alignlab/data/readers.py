"""Rows of JSONL, JSON, CSV and Parquet files as dictionaries that know where they stand.

JSONL, CSV and Parquet are streamed; a JSON array is read whole. Nothing here reaches the network.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignlab.data.files import Kind, kind_of, lines, open_plain
from alignlab.errors import DataError

LONGEST_FIELD = 1 << 30
"""Characters in one CSV field; Python's own limit of 131,072 is below some transcripts."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row as it stands in its file."""

    file: str
    """File or data set."""
    place: str
    """`line 3` or `row 3`, counted from 1."""
    values: dict[str, Any]

    @property
    def where(self) -> str:
        """For messages: file and place."""
        return f"{self.file}, {self.place}"


def read(files: Sequence[Path]) -> Iterator[Record]:
    """Rows of all files in order. Raises DataError naming file and row."""
    for path in files:
        empty = True
        for record in _READERS[kind_of(path)](path):
            empty = False
            yield record
        if empty:
            raise DataError(f"{path} holds no rows", "check how it was written")


def _lines(path: Path) -> Iterator[Record]:
    for number, text in lines(path):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {number}: not JSON: {error.msg} at column {error.colno}: {_shorten(text)}",
                "every line must hold one whole JSON object; repair or remove this one",
            ) from error
        yield _record(path, f"line {number}", values)


def _array(path: Path) -> Iterator[Record]:
    text = "".join(line for _, line in lines(path))
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}: not JSON: {error.msg} at column {error.colno}",
            "repair the file at this place",
        ) from error
    for number, row in enumerate(values, start=1):
        yield _record(path, f"row {number}", row)


def _csv(path: Path) -> Iterator[Record]:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    reader = csv.reader((text for _, text in lines(path)), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        for number, row in enumerate(reader, start=1):
            if not row:
                continue
            place = f"row {number} (line {reader.line_num})"
            if len(row) != len(header):
                raise DataError(
                    f"{path}, {place}: {len(row)} fields where the header names {len(header)}",
                    "quote fields that contain commas, quotes or line feeds",
                )
            yield Record(str(path), place, dict(zip(header, row, strict=True)))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV: {error}", "check the quoting") from error


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow
    from pyarrow import parquet

    with open_plain(path) as file:
        source = file if path.suffix == ".parquet" else io.BytesIO(file.read())
        try:
            number = 0
            for batch in parquet.ParquetFile(source).iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield Record(str(path), f"row {number}", row)
        except pyarrow.ArrowException as error:
            raise DataError(f"{path} is not Parquet: {error}", "the file is damaged: copy it again") from error


def _record(path: Path, place: str, values: Any) -> Record:
    if not isinstance(values, dict):
        raise DataError(
            f"{path}, {place}: a JSON {_type(values)} where a row must be an object: {_shorten(str(values))}",
            'write rows as {"prompt": …, "chosen": …, "rejected": …}',
        )
    return Record(str(path), place, values)


def _type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _shorten(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 60 else f"{text[:57]}…"


_READERS = {Kind.LINES: _lines, Kind.ARRAY: _array, Kind.CSV: _csv, Kind.PARQUET: _parquet}
