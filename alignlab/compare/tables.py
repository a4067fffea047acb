"""The leaderboard as text: CSV with every figure, Markdown, and a table for a terminal.

All three read the same content as the page. What cannot be shown, such as a failed run, is listed under the table and
not left out.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from alignlab.compare import posture_board
from alignlab.compare.board import Cell
from alignlab.compare.content import (
    COSTS,
    METRICS,
    MISSING,
    Content,
    Metric,
    figure,
    label,
    listed,
    mapping,
    mean,
    metric,
    number,
    one_line,
    ordered,
    pools,
    primary,
    rows,
    seeds,
    shown,
    text,
)

Row = Mapping[str, Any]
NARROW = 96
"""Columns of a terminal below which the less urgent columns are left out."""
TERMINAL = {
    "helpfulness": "help",
    "youden_attacked": "J%",
    "breach": "breach%",
    "breach_held_out": "held out",
    "lookalike": "over%",
    "wrapped": "wrapped",
    "at_k": "any try",
    "until": "tries",
    "holds": "holds",
}
"""Columns of the posture in a terminal and their headings."""


class Column(NamedTuple):
    """One column of the short tables."""

    name: str
    cell: Callable[[Row], str]
    right: bool = True
    urgent: bool = True


def leaderboard_csv(content: Content) -> str:
    """Every figure of every row with its interval, unrounded, best first inside each pool; an unknown one is blank.

    A text that a spreadsheet would run as a formula is quoted by an apostrophe.
    """
    found = ordered(content)
    keys = [each.key for each in METRICS] + sorted(_others(found))
    keys = [key for key in ("gain", *keys) if any(figure(row, key) for row in found)]
    costs = [each.key for each in COSTS if any(mean(row, each.key) is not None for row in found)]
    known = pools(content)
    names = ["id", "label", "name", "method", *(["pool"] if known else []), "tiers", "rank_low", "rank_high"]
    names += [f"{key}{end}" for key in keys for end in ("", "_low", "_high")] + costs
    names += ["seeds", "done", "failed", "invalid", "flags"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in found:
        writer.writerow(
            [*_who(row, known), *_values(row, keys), *(_bare(mean(row, key)) for key in costs), *_counts(row)]
        )
    return out.getvalue()


def leaderboard_markdown(content: Content) -> str:
    """The leaderboard, the sentence that answers, failures and caveats as GitHub Markdown."""
    columns = _columns(content)
    lines = [f"# {_markdown(content.get('title') or 'Comparison')}", ""]
    if content.get("answer"):
        lines += [_markdown(content["answer"]), ""]
    lines.append(_line(column.name for column in columns))
    lines.append(_line("---:" if column.right else "---" for column in columns))
    lines += [_line(column.cell(row) for column in columns) for row in ordered(content)]
    lines += ["", _markdown(_caption(content)), "", *_posture(content)]
    for title, items in (("Not in the table", _failed(content)), ("Caveats", _notes(content))):
        lines += [f"## {title}", "", *(f"- {_markdown(item)}" for item in items), ""] if items else []
    return "\n".join(lines)


def _posture(content: Content) -> list[str]:
    """The posture as Markdown: the answer, one row a method, what limits it; nothing where none was judged."""
    found = posture_board.table(content)
    columns = [place for place, column in enumerate(found.columns) if column.short]
    if not columns:
        return []
    heads = ["method", *(found.columns[place].label for place in columns)]
    lines = ["## Posture", "", *(f"{_markdown(said)}\n" for said in _said(content, "answer"))]
    lines += [_line(heads), _line(["---", *("---:" for _ in columns)])]
    lines += [_line([one_line(each.label), *(_whole(each.cells[place]) for place in columns)]) for each in found.lines]
    return [*lines, "", *(f"- {_markdown(said)}" for said in _said(content, "notes")), ""]


def _whole(cell: Cell) -> str:
    return f"{cell.text} [{cell.small}]" if cell.small else cell.text


def _said(content: Content, key: str) -> list[str]:
    return [one_line(each) for each in mapping(content, "posture").get(key) or ()]


def leaderboard_table(content: Content, width: int = 100) -> Group:
    """The leaderboard for a terminal of `width` columns, failures under it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, width=None)
    columns = [column for column in _columns(content) if column.urgent or width >= NARROW]
    for column in columns:
        flexible = column.name == "method"
        table.add_column(
            Text(column.name),
            justify="right" if column.right else "left",
            no_wrap=not flexible,
            overflow="fold",
            min_width=10 if flexible else None,
        )
    for row in ordered(content):
        style = "dim" if row.get("control") else ""
        table.add_row(*(Text(column.cell(row), style=style) for column in columns))
    parts: list[Table | Text] = [Text(one_line(content["answer"]), style="bold")] if content.get("answer") else []
    parts += [table, Text(_caption(content), style="dim")] if rows(content) else [Text("No method has a finished run.")]
    parts += _posture_table(content, width)
    failed = _failed(content)
    if failed:
        parts += [Text(""), Text("Not in the table:", style="bold"), *(Text(f"  {line}") for line in failed)]
    parts += [Text(f"note: {line}", style="dim") for line in _notes(content)]
    return Group(*parts)


def _posture_table(content: Content, width: int) -> list[Table | Text]:
    """The posture for a terminal: the answer and its bare figures; [] where none was judged."""
    found = posture_board.table(content)
    keys = [key for key in TERMINAL if key != "wrapped" or width >= NARROW]
    columns = [place for place, column in enumerate(found.columns) if column.key in keys]
    if not columns:
        return []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(Text("posture"), overflow="fold", min_width=10)
    for place in columns:
        table.add_column(Text(TERMINAL[found.columns[place].key]), justify="right", no_wrap=True)
    for each in found.lines:
        style = "dim" if each.row.get("control") else ""
        cells = (one_line(each.label), *(each.cells[place].text for place in columns))
        table.add_row(*(Text(cell, style=style) for cell in cells))
    said = [Text(line, style="bold") for line in _said(content, "answer")]
    return [Text(""), *said, table, *(Text(f"note: {line}", style="dim") for line in _said(content, "notes"))]


def _columns(content: Content) -> list[Column]:
    """Columns of the short tables; those that no row has a figure for are left out."""
    best, found = primary(content), rows(content)
    columns = [
        Column("tier", lambda row: one_line("".join(str(each) for each in row.get("tiers") or ()) or MISSING), False),
        Column("method", lambda row: one_line(label(row)), False),
        Column(best.label, lambda row: interval(row, best)),
    ]
    for key, name, urgent in _short(found):
        columns.append(Column(name, _cell(metric(key)), urgent=urgent))
    columns.append(Column("seeds", lambda row: str(seeds(row) if seeds(row) is not None else MISSING)))
    columns.append(Column("flags", lambda row: str(len(listed(row, "flags"))), urgent=False))
    return columns


def _short(found: Sequence[Row]) -> list[tuple[str, str, bool]]:
    """Metrics of the short tables that some row has: key, heading, whether a narrow terminal keeps it."""
    wins = "win_rate_controlled" if any(mean(row, "win_rate_controlled") is not None for row in found) else "win_rate"
    cost = "flops_with_stages" if any(mean(row, "flops_with_stages") is not None for row in found) else "seconds"
    wanted = [("kl", "KL", True), (wins, "win%", True), ("length", "length", False), ("breach", "breach%", True)]
    wanted += [("refusal_lookalike", "over%", True), (cost, "FLOPs" if cost != "seconds" else "time", False)]
    return [each for each in wanted if any(mean(row, each[0]) is not None for row in found)]


def _cell(found: Metric) -> Callable[[Row], str]:
    return lambda row: shown(mean(row, found.key), found)


def interval(row: Row, found: Metric) -> str:
    """A figure with its interval: `1.23 [1.01, 1.45]`; the bare figure where there is none."""
    values = figure(row, found.key)
    low, high = number(values.get("low")), number(values.get("high"))
    middle = shown(number(values.get("mean")), found)
    return middle if low is None or high is None else f"{middle} [{shown(low, found)}, {shown(high, found)}]"


def _caption(content: Content) -> str:
    counted = [count for row in rows(content) if (count := seeds(row))]
    several = (
        f"{min(counted)} to {max(counted)}" if counted and min(counted) < max(counted) else str(max(counted, default=0))
    )
    words = f"95 % intervals over {several} seeds, the unit of replication. "
    words += "Methods that share a letter cannot be told apart. "
    words += "Rows of one pool after the other: they are not ranked across. " if pools(content) else ""
    return f"{words}win%: wins over SFT. breach%: harmful requests answered; over%: look-alike ones refused."


def _failed(content: Content) -> list[str]:
    """One line for each run or row that no figure rests on."""
    lines = [
        f"{one_line(each.get('label'))}, seed {one_line(each.get('seed'))}: {one_line(each.get('status'))}"
        f"{': ' + one_line(each['reason']) if each.get('reason') else ''}"
        for each in listed(content, "failures")
    ]
    return lines + [
        f"{one_line(each.get('label'))}: not compared: {one_line(each.get('reason'))}"
        for each in listed(content, "not_compared")
    ]


def _notes(content: Content) -> list[str]:
    return [one_line(note) for note in content.get("notes") or ()]


def _others(found: Sequence[Row]) -> set[str]:
    """Metrics that rows carry beyond the listed ones."""
    return {key for row in found for key in mapping(row, "metrics")} - {each.key for each in METRICS}


def _who(row: Row, pool: Mapping[str, str]) -> list[str]:
    rank = mapping(row, "rank")
    named = [_inert(row.get(key)) for key in ("id", "label", "name", "method")]
    named += [_inert(pool.get(text(row.get("id"))))] if pool else []
    return [*named, "".join(map(str, row.get("tiers") or ())), _bare(rank.get("low")), _bare(rank.get("high"))]


def _values(row: Row, keys: Sequence[str]) -> list[str]:
    return [_bare(figure(row, key).get(end)) for key in keys for end in ("mean", "low", "high")]


def _counts(row: Row) -> list[str]:
    counts = mapping(row, "counts")
    flags = " ".join(one_line(flag.get("name")) for flag in listed(row, "flags"))
    count = seeds(row)
    return [
        "" if count is None else str(count),
        *(_bare(counts.get(k)) for k in ("done", "failed", "invalid")),
        _inert(flags),
    ]


def _bare(value: object) -> str:
    """The shortest text that reads back as the same number; blank where it is unknown."""
    found = number(value)
    if found is None:
        return ""
    return str(int(found)) if found.is_integer() and abs(found) < 1e15 else repr(found)


def _inert(value: object) -> str:
    written = "" if value is None else one_line(value)
    return f"'{written}" if written[:1] in ("=", "+", "-", "@") else written


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell if set(cell) <= set('-:') else _markdown(cell) for cell in cells)} |"


def _markdown(value: object) -> str:
    """Text that Markdown shows as it is."""
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~!&])", r"\\\1", one_line(value))
    # A bare address would become a link.
    return re.sub(r"(?i)(https?|javascript):", r"\1\\:", escaped)
