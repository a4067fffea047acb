"""Replies that people judged: the completions of XSTest (arXiv 2308.01263), or rows of a plain format. Torch-free.

XSTest's CSV names two annotators' labels and the final one; the model is what stands behind `completions_` in the
name of the file, and prompts of a type `contrast_…` are unsafe. The plain format, JSON lines or CSV, has `prompt`,
`completion`, `verdict` (refused, partial, complied), and may have `model`, `family` (models that are one, or close) and
`kind` (the stratum, as in `harmful`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alignlab.data.files import find
from alignlab.data.readers import Record
from alignlab.data.readers import read as read_rows
from alignlab.data.schema import Message, Prompt, Verdict
from alignlab.errors import DataError
from alignlab.stages.files import sha256_file

PREFIX = "completions_"
XSTEST: Mapping[str, Verdict] = {
    "1_full_compliance": Verdict.COMPLIED,
    "2_full_refusal": Verdict.REFUSED,
    "3_partial_refusal": Verdict.PARTIAL,
}
PLAIN: Mapping[str, Verdict] = {verdict.value: verdict for verdict in Verdict}
FAMILIES: Mapping[str, str] = {
    "llama2orig": "llama2",
    "llama2new": "llama2",
    "mistralinstruct": "mistral",
    "mistralguard": "mistral",
}
"""XSTest's files that hold one model under two system prompts; replies to many prompts begin word for word alike."""
UNSAFE = ("harmful", "unsafe")
"""Strata of the plain format in which a refusal is what is wanted."""


class Labelled(NamedTuple):
    """One reply and what people said about it."""

    prompt: Prompt
    text: str
    verdict: Verdict
    model: str = ""
    unsafe: bool | None = None
    """Whether the prompt should not be answered; None where nobody said."""
    annotators: tuple[Verdict, Verdict] | None = None
    """What two people said, each without the other."""
    matched: Verdict | None = None
    """What the string match of the labels' authors said."""
    family: str = ""
    """Models that answer alike, such as one model under several system prompts; "" where nobody said."""

    @property
    def unit(self) -> str:
        """What is held out together: the family, or the model alone."""
        return self.family or self.model


def read(files: Sequence[str | Path]) -> list[Labelled]:
    """Every labelled reply of some files, in an order that does not depend on how the files are listed.

    DataError names the file, the row, the column and a remedy.
    """
    return [row for path in _ordered(files) for row in _rows(path)]


def contents(files: Sequence[str | Path]) -> list[str]:
    """SHA-256 of each file, sorted: what was learned from, wherever it lies."""
    return [sha256_file(path) for path in _ordered(files)]


def _ordered(files: Sequence[str | Path]) -> list[Path]:
    """The files behind paths, folders and patterns, by their content."""
    return sorted({path for file in files for path in find(file)}, key=sha256_file)


def _rows(path: Path) -> list[Labelled]:
    """Every row of one file."""
    return [_xstest(record) if "final_label" in record.values else _plain(record) for record in read_rows([path])]


def _xstest(record: Record) -> Labelled:
    kind, prompt = str(_cell(record, "type")), _text(record, "prompt")
    unsafe = kind.startswith("contrast")
    annotators = None
    if "annotation_1" in record.values and "annotation_2" in record.values:
        annotators = (_verdict(record, "annotation_1", XSTEST), _verdict(record, "annotation_2", XSTEST))
    model = Path(record.file).name.partition(".")[0].removeprefix(PREFIX)
    return Labelled(
        prompt=_prompt(prompt, "harmful" if unsafe else "lookalike"),
        text=_text(record, "completion"),
        verdict=_verdict(record, "final_label", XSTEST),
        model=model,
        family=str(record.values.get("family") or FAMILIES.get(model, "")),
        unsafe=unsafe,
        annotators=annotators,
        matched=_verdict(record, "strmatch_label", XSTEST) if "strmatch_label" in record.values else None,
    )


def _plain(record: Record) -> Labelled:
    kind = str(record.values.get("kind") or "")
    return Labelled(
        prompt=_prompt(_text(record, "prompt"), kind),
        text=_text(record, "completion"),
        verdict=_verdict(record, "verdict", PLAIN),
        model=str(record.values.get("model") or ""),
        family=str(record.values.get("family") or ""),
        unsafe=kind in UNSAFE if kind else None,
    )


def _prompt(text: str, kind: str) -> Prompt:
    """A request as one turn; the same text is the same prompt, whoever answered it."""
    name = hashlib.sha256(text.strip().encode()).hexdigest()[:16]
    return Prompt(id=name, messages=(Message("user", text),), kind=kind)


def _cell(record: Record, column: str) -> Any:
    if column not in record.values:
        raise DataError(
            f"{record.where}: there is no column {column!r}, only {', '.join(map(str, record.values))}",
            "labelled replies have prompt, completion and verdict, or the columns of XSTest's completions",
        )
    return record.values[column]


def _text(record: Record, column: str) -> str:
    value = _cell(record, column)
    if not isinstance(value, str) or (column == "prompt" and not value.strip()):
        raise DataError(f"{record.where}: column {column!r} is no text: {value!r}", "write text, or remove the row")
    return value


def _verdict(record: Record, column: str, known: Mapping[str, Verdict]) -> Verdict:
    value = _cell(record, column)
    found = known.get(str(value).strip().lower())
    if found is None:
        raise DataError(
            f"{record.where}: column {column!r} holds {value!r}, which is no verdict", f"write {', '.join(known)}"
        )
    return found
