"""All rows of a source, parsed once into a mapped file: their shape, what was skipped, their division into splits."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from zlib import crc32

import numpy as np

from alignlab.data.mapped import Cell, Columns, Layout, Lazy, Writer
from alignlab.data.readers import Record
from alignlab.data.rows import row_from_json, row_to_json
from alignlab.data.schema import Label, Pair, Prompt, Row, Split
from alignlab.data.shapes import Parser, Skipped, detect
from alignlab.errors import DataError

ROWS, FACTS = "rows.arrow", "facts.json"
SPLITS = tuple(Split)
_LAYOUT: Layout = {
    "row": Cell.TEXT,
    "prompt": Cell.COUNT,
    "base": Cell.COUNT,
    "kind": Cell.COUNT,
    "verbatim": Cell.FLAG,
    "desirable": Cell.FLAG,
}


@dataclass(frozen=True)
class Table:
    """Rows of one shape in the order they were read, in a file. What is asked of all rows stands in columns beside."""

    name: str
    shape: str
    skipped: Mapping[str, int]
    """How many rows were skipped for each reason."""
    judged: bool
    """Whether any row has safety labels."""
    kinds: Sequence[str]
    """Kinds of prompts by their number."""
    columns: Columns

    @cached_property
    def rows(self) -> Lazy[Row]:
        """Every row, built when it is asked for."""
        return Lazy(len(self.columns), lambda at: row_from_json(json.loads(self.columns.row(at)[0])))

    def ids(self, rows: np.ndarray) -> list[str]:
        """Ids of the prompts of some rows."""
        return [f"{number & _MASK:016x}" for number in self.columns.whole("prompt")[rows].tolist()]

    def of_kind(self, kind: str) -> np.ndarray:
        """Whether each row's prompt is of a kind: (rows,) bool."""
        wanted = self.kinds.index(kind) if kind in self.kinds else -1
        found: np.ndarray = self.columns.whole("kind") == wanted
        return found

    def lines(self) -> list[str]:
        """What was found, for the terminal."""
        head = f"{self.name}: {len(self.rows):,} rows of shape {self.shape!r}"
        return [head, *(f"  {count:,} skipped, {reason}" for reason, count in sorted(self.skipped.items()))]


_MASK = (1 << 64) - 1


def _signed(identity: str) -> int:
    """A prompt's 16 hexadecimal digits as a 64-bit number."""
    number = int(identity, 16)
    return number - (1 << 64) if number >> 63 else number


def write_table(
    folder: Path, name: str, records: Iterable[Record], parser: Parser, shape: str = "auto", limit: int | None = None
) -> None:
    """Parse records into files of `folder`, one at a time. The first row of each file decides `shape="auto"`.

    Raises DataError for a malformed row, for files of different shapes, and when nothing is left.
    """
    skipped, kinds, judged = Counter[str](), dict[str, int](), False
    file, found = "", shape
    with Writer(folder / ROWS, _LAYOUT) as out:
        for record in islice(records, limit):
            if record.file != file:
                found = _settled(found, record, parser, shape)
                file = record.file
            try:
                row = parser.parse(record, found)
            except Skipped as reason:
                skipped[str(reason)] += 1
                continue
            judged |= isinstance(row, Pair) and row.safety is not None
            out.add(_cells(row, kinds))
    if not out.rows:
        reasons = "; ".join(f"{count:,} skipped, {reason}" for reason, count in sorted(skipped.items()))
        raise DataError(
            f"{name}: no row is left to use: {reasons or 'it holds no rows'}", "check the file, or data.format"
        )
    facts = {"shape": found, "skipped": skipped, "judged": judged, "kinds": list(kinds)}
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def read_table(folder: Path, name: str) -> Table:
    """What `write_table` wrote."""
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return Table(name, **facts, columns=Columns(folder / ROWS, _LAYOUT))


def _cells(row: Row, kinds: dict[str, int]) -> tuple[str | int, ...]:
    prompt = prompt_of(row)
    return (
        json.dumps(row_to_json(row), ensure_ascii=False),
        _signed(prompt.id),
        crc32(prompt.base.encode()),
        kinds.setdefault(prompt.kind, len(kinds)),
        prompt.text is not None,
        row.desirable if isinstance(row, Label) else True,
    )


def _settled(known: str, record: Record, parser: Parser, shape: str) -> str:
    """The shape of a file's first row, which every file must share."""
    if shape != "auto":
        return shape
    found = detect(record, parser)
    if known not in ("auto", found):
        raise DataError(
            f"{record.file} holds rows of shape {found!r}, the files before it {known!r}",
            "name the files of one shape in data.path",
        )
    return found


def prompt_of(row: Row) -> Prompt:
    """The prompt a row is about."""
    return row if isinstance(row, Prompt) else row.prompt


def divide(bases: Iterable[str], shares: Mapping[Split, float]) -> dict[str, Split]:
    """Assign every base request to a split by its crc32 hash; TRAIN takes what the shares leave.

    The split of a base does not depend on order, on seeds, or on other rows, unless a set is so small that a
    split would stay empty: it then gets the base of the largest split whose hash is lowest. Raises DataError
    when there are fewer distinct bases than splits.
    """
    unique = sorted(set(bases), key=lambda base: (crc32(base.encode()), base))
    if len(unique) < len(shares) + 1:
        raise DataError(
            f"{len(unique)} distinct prompts cannot be divided into {len(shares) + 1} splits "
            "(train, held-out, validation, evaluation)",
            f"bring rows on at least {len(shares) + 1} prompts",
        )
    drawn = _drawn(np.array([crc32(base.encode()) for base in unique]), shares)
    parts = {base: SPLITS[place] for base, place in zip(unique, drawn.tolist(), strict=True)}
    for split in (Split.TRAIN, *shares):
        counts = Counter(parts.values())
        if not counts[split]:
            largest = max(Split, key=lambda other: counts[other])
            parts[next(base for base in unique if parts[base] is largest)] = split
    return parts


def _drawn(crcs: np.ndarray, shares: Mapping[Split, float]) -> np.ndarray:
    """The split that each hash falls in, a place in `SPLITS`; TRAIN takes what the shares leave: (n,) uint8."""
    left, parts = crcs / 2**32, np.full(len(crcs), SPLITS.index(Split.TRAIN), np.uint8)
    waiting = np.ones(len(crcs), bool)
    for split, share in shares.items():
        taken = waiting & (left < share)
        parts[taken] = SPLITS.index(split)
        waiting &= ~taken
        left = left - share
    return parts


def places(crcs: np.ndarray, bases: Callable[[], Iterable[str]], shares: Mapping[Split, float]) -> np.ndarray:
    """The split of each row, a place in `SPLITS`, as `divide` assigns them: (rows,) uint8.

    `crcs` are hashes of the rows' base requests, which decide alone wherever no split stays empty.
    """
    parts = _drawn(crcs, shares)
    if np.bincount(parts, minlength=len(SPLITS)).all():
        return parts
    known = divide(bases(), shares)
    return np.array([SPLITS.index(known[base]) for base in bases()], np.uint8)


def distinct(ids: np.ndarray) -> np.ndarray:
    """The row in which each id occurs last, in the order in which they occur first: (distinct,)."""
    _, first = np.unique(ids, return_index=True)
    _, back = np.unique(ids[::-1], return_index=True)
    return (len(ids) - 1 - back)[np.argsort(first)]


def chosen_few(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """At most `count` prompts in their order, picked by hash so that sorted files give no lopsided sample."""
    if len(prompts) <= count:
        return list(prompts)
    kept = few([prompt.id for prompt in prompts], count)
    return [prompt for prompt in prompts if prompt.id in kept]


def few(ids: Iterable[str], count: int) -> set[str]:
    """The `count` ids whose hashes are lowest."""
    return set(heapq.nsmallest(count, ids, key=lambda each: (crc32(each.encode()), each)))
