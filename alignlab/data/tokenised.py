"""Tokenised rows of each view in a file: written one by one, read as a sequence of the same rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from alignlab.data.mapped import Cell, Layout, Lazy, Writer, mapped
from alignlab.data.rows import prompt_from_json, prompt_to_json
from alignlab.data.tokens import DemonstrationTokens, LabelTokens, PairTokens, PromptTokens, SafetyTokens
from alignlab.method import Data


class _View(NamedTuple):
    layout: Layout
    cells: Callable[[Any], tuple[Any, ...]]
    make: Callable[..., Any]


def _plain(kind: type, **columns: Cell) -> _View:
    """A row whose fields are the columns."""
    return _View(columns, lambda row: tuple(getattr(row, name) for name in columns), kind)


def _prompt(row: int, source: str, *rest: Any) -> PromptTokens:
    return PromptTokens(row, prompt_from_json(json.loads(source)), *rest)


def _safety(row: int, prompt: Any, worse: Any, better: Any, first: bool, second: bool, *rest: Any) -> SafetyTokens:
    return SafetyTokens(row, prompt, worse, better, (first, second), *rest)


_IDS, _FLAG = Cell.IDS, Cell.FLAG
_DEMONSTRATIONS = _plain(DemonstrationTokens, row=Cell.COUNT, prompt=_IDS, completion=_IDS, truncated=_FLAG)
_VIEWS: Mapping[Data, _View] = {
    Data.PROMPTS: _View(
        {"row": Cell.COUNT, "source": Cell.TEXT, "prompt": _IDS, "truncated": _FLAG},
        lambda row: (row.row, json.dumps(prompt_to_json(row.source), ensure_ascii=False), row.prompt, row.truncated),
        _prompt,
    ),
    Data.DEMONSTRATIONS: _DEMONSTRATIONS,
    Data.REVISIONS: _DEMONSTRATIONS,
    Data.PAIRS: _plain(
        PairTokens,
        row=Cell.COUNT,
        prompt=_IDS,
        chosen=_IDS,
        rejected=_IDS,
        margin=Cell.NUMBER,
        probability=Cell.NUMBER,
        truncated=_FLAG,
    ),
    Data.SAFETY: _View(
        {
            **{"row": Cell.COUNT, "prompt": _IDS, "worse": _IDS, "better": _IDS},
            **{"worse_harmful": _FLAG, "better_harmful": _FLAG, "ordered": _FLAG, "truncated": _FLAG},
        },
        lambda row: (row.row, row.prompt, row.worse, row.better, *row.harmful, row.ordered, row.truncated),
        _safety,
    ),
    Data.LABELS: _plain(LabelTokens, row=Cell.COUNT, prompt=_IDS, completion=_IDS, desirable=_FLAG, truncated=_FLAG),
}


def write_tokens(path: Path, view: Data, rows: Iterable[Any]) -> int:
    """Tokenised rows of a view, one at a time; returns how many."""
    layout, cells, _ = _VIEWS[view]
    with Writer(path, layout) as out:
        for row in rows:
            out.add(cells(row))
    return out.rows


def read_tokens(path: Path, view: Data) -> Lazy[Any]:
    """What `write_tokens` wrote: rows of the same classes, whose ids are views of the mapped file."""
    layout, _, make = _VIEWS[view]
    return mapped(path, layout, make)
