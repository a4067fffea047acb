"""All rows of a source, read once: their shape, what was skipped, and their division into splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from zlib import crc32

from alignlab.data.readers import Record
from alignlab.data.schema import Prompt, Row, Split
from alignlab.data.shapes import Parser, Skipped, detect
from alignlab.errors import DataError


@dataclass
class Table:
    """Rows of one shape in the order they were read."""

    name: str
    shape: str
    rows: list[Row] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """How many rows were skipped for each reason."""

    def lines(self) -> list[str]:
        """What was found, for the terminal."""
        head = f"{self.name}: {len(self.rows):,} rows of shape {self.shape!r}"
        return [head, *(f"  {count:,} skipped, {reason}" for reason, count in sorted(self.skipped.items()))]


def load(name: str, records: Iterable[Record], parser: Parser, shape: str = "auto", limit: int | None = None) -> Table:
    """Parse records into a table. The first row of each file decides `shape="auto"`, for all files alike.

    Raises DataError for a malformed row, for files of different shapes, and when nothing is left.
    """
    table = Table(name, shape)
    file = ""
    for record in islice(records, limit):
        if record.file != file:
            _settle(table, record, parser, shape)
            file = record.file
        try:
            table.rows.append(parser.parse(record, table.shape))
        except Skipped as reason:
            table.skipped[str(reason)] += 1
    if not table.rows:
        reasons = "; ".join(table.lines()[1:]).strip() or "it holds no rows"
        raise DataError(f"{name}: no row is left to use: {reasons}", "check the file, or data.format")
    return table


def _settle(table: Table, record: Record, parser: Parser, shape: str) -> None:
    """Take the shape of a file's first row, which every file must share."""
    if shape != "auto":
        return
    found = detect(record, parser)
    if table.shape not in ("auto", found):
        raise DataError(
            f"{record.file} holds rows of shape {found!r}, the files before it {table.shape!r}",
            "name the files of one shape in data.path",
        )
    table.shape = found


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
    parts = {base: _split(base, shares) for base in unique}
    for split in (Split.TRAIN, *shares):
        counts = Counter(parts.values())
        if not counts[split]:
            largest = max(Split, key=lambda other: counts[other])
            parts[next(base for base in unique if parts[base] is largest)] = split
    return parts


def _split(base: str, shares: Mapping[Split, float]) -> Split:
    place = crc32(base.encode()) / 2**32
    for split, share in shares.items():
        if place < share:
            return split
        place -= share
    return Split.TRAIN


def distinct(prompts: Iterable[Prompt]) -> list[Prompt]:
    """Each prompt once, in order."""
    return list({prompt.id: prompt for prompt in prompts}.values())


def chosen_few(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """At most `count` prompts in their order, picked by hash so that sorted files give no lopsided sample."""
    if len(prompts) <= count:
        return list(prompts)
    kept = {prompt.id for prompt in sorted(prompts, key=lambda p: (crc32(p.id.encode()), p.id))[:count]}
    return [prompt for prompt in prompts if prompt.id in kept]
