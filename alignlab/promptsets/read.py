"""One set's rows as prompts, each with its kind; what was left out is counted by reason."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from alignlab.data.files import find
from alignlab.data.readers import Record, read
from alignlab.data.schema import Prompt
from alignlab.data.shapes import Parser, Skipped
from alignlab.data.sources import download
from alignlab.errors import DataError
from alignlab.promptsets.config import KEY, on_hub
from alignlab.promptsets.known import KINDS, PLAIN, SETS, KnownSet

_PARSER = Parser(text_as="user")


@dataclass
class Loaded:
    """The prompts of one set."""

    name: str
    known: KnownSet
    content: str
    """SHA-256 of the file, or of the rows that came from the hub."""
    local: bool
    prompts: list[Prompt] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """What was found and where it comes from, for the terminal."""
        counts = Counter(prompt.kind for prompt in self.prompts)
        found = ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if counts[kind])
        lines = [f"{self.name}: {found or 'no prompt'}"]
        source = ", ".join(part for part in (self.known.licence, self.known.paper) if part)
        lines += [f"  {self.known.title}"] if self.known.name else []
        lines += [f"  {source}"] if source else []
        lines += [f"  {count:,} left out, {reason}" for reason, count in sorted(self.left_out.items())]
        if self.local and self.known.releases and self.content not in self.known.releases:
            expected = "; ".join(self.known.releases.values())
            lines.append(f"  not the release that is known here ({expected}): sha256 {self.content[:12]}…")
        return lines


def load(name: str, path: str) -> Loaded:
    """Read a set. A name of `SETS` is read as that set, any other as a file with the columns prompt and kind.

    DataError for a missing file, a missing column or a row that cannot be used; names file and row.
    """
    known, hub = SETS.get(name, PLAIN), on_hub(name, path)
    if hub is None:
        file = _one_file(name, path)
        loaded, records = Loaded(name, known, _hash(file), True), read([file])
    else:
        options = {"name": known.subset, "split": known.split, "revision": hub.revision}
        rows = list(download(hub.name, {key: value for key, value in options.items() if value}, None))
        content = hashlib.sha256(json.dumps(rows, sort_keys=True, default=str).encode()).hexdigest()
        numbered = enumerate(rows, start=1)
        loaded = Loaded(name, known, content, False)
        records = (Record(hub.name, f"row {number}", row) for number, row in numbered)
    _parse(loaded, records)
    return loaded


def _one_file(name: str, path: str) -> Path:
    """The file of a set. A folder could hold several, which are not one set."""
    if Path(path).expanduser().is_dir():
        raise DataError(f"{KEY}.sets.{name}={path} is a folder", "name the file in it")
    files = find(path)
    if len(files) > 1:
        raise DataError(f"{KEY}.sets.{name}={path} matches {len(files)} files", "name one file a set")
    return files[0]


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _parse(loaded: Loaded, records: Iterator[Record]) -> None:
    for record in records:
        try:
            prompt = _prompt(loaded.known, record)
        except Skipped as reason:
            loaded.left_out[str(reason)] += 1
            continue
        loaded.prompts.append(replace(prompt, meta={"set": loaded.name}))


def _prompt(known: KnownSet, record: Record) -> Prompt:
    """One row as a prompt; Skipped for what the set's description leaves out."""
    row = {str(key).strip().casefold(): value for key, value in record.values.items()}
    value = partial(_value, record, row)
    for column, (unwanted, reason) in known.left_out.items():
        if str(value(column)).strip().casefold() == unwanted:
            raise Skipped(reason)
    content = value(*known.prompt)
    context = row.get(known.context) if known.context else None
    if context and str(context).strip():
        content = f"{context}\n\n---\n\n{content}"
    kind = known.kind or _kind(known, record, value(known.label))
    prompt = _PARSER.parse(Record(record.file, record.place, {"prompt": content, "kind": kind}), "prompts")
    assert isinstance(prompt, Prompt)
    return prompt


def _value(record: Record, row: dict[str, Any], *columns: str) -> Any:
    for column in columns:
        if row.get(column) is not None:
            return row[column]
    there = ", ".join(map(str, record.values)) or "none"
    wanted = " or ".join(columns)
    raise DataError(
        f"{record.where}: column {wanted!r} is missing (columns there: {there})",
        f"name another file, or add it; sets of known shape are {', '.join(SETS)}",
    )


def _kind(known: KnownSet, record: Record, label: Any) -> str:
    text = str(label).strip().casefold()
    if text not in known.kinds:
        raise DataError(
            f"{record.where}: column {known.label!r} must be one of {', '.join(known.kinds)}, got {label!r}",
            "repair the row",
        )
    return known.kinds[text]
