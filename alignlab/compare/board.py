"""The leaderboard as the page shows it: columns, cells with what they sort by, and the small interval drawings.

It is plain HTML, readable with scripts off; the page's script adds sorting, filters and the choice of columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

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
    number,
    ordered,
    pools,
    primary,
    rows,
    seeds,
    shown,
    text,
)

Row = Mapping[str, Any]
SFT = "sft"
WIDTH, EDGE = 132.0, 5.0
"""Width of an interval drawing and its empty edge, in pixels."""
TIER = "Methods that share a letter cannot be told apart at a simultaneous level of 95 %; A holds the best."
RANK = "Ranks that the bootstrap over seeds gives in 95 % of draws."
SEEDS = "Seeds with a finished run; the seed moves data, labels, reward models and training, so it is what repeats."
FLAGS = "What the diagnosis found in the runs, such as a collapse of entropy or replies without an end."


class Head(NamedTuple):
    """A column: its key, words, the views that show it, an explanation."""

    key: str
    label: str
    views: str
    meaning: str = ""
    words: bool = False


class Cell(NamedTuple):
    """A cell: what is read, the interval below it, what it sorts by."""

    text: str
    small: str = ""
    sort: str = ""


class Span(NamedTuple):
    """Places of an interval drawing in pixels; `start` is where SFT stands."""

    middle: float
    low: float | None
    high: float | None
    start: float | None


class Line(NamedTuple):
    """One row of the board."""

    number: int
    row: Row
    label: str
    tiers: Sequence[str]
    rank: Cell
    span: Span | None
    cells: Sequence[Cell]
    flags: int
    seeds: int | None
    pool: str = ""
    """What its rivals have in common with it, where the table holds rows of several pools."""


class Board(NamedTuple):
    """The whole table; `start` holds SFT's figures under the same columns, None where no row knows them."""

    columns: Sequence[Head]
    lines: Sequence[Line]
    start: Sequence[Cell] | None
    best: Metric


def board(content: Content) -> Board:
    """The leaderboard of a content, best row first. A column that no row has a figure for is left out."""
    best, found = primary(content), rows(content)
    numbers = {id(row): index for index, row in enumerate(found)}
    metrics = _metrics(found, best)
    heads = [Head(each.key, each.label, f"{each.views} all", each.meaning) for each in metrics]
    place, known = _scale(found, best), pools(content)
    lines = [
        Line(
            numbers[id(row)],
            row,
            label(row),
            [str(each) for each in row.get("tiers") or ()],
            _rank(row),
            place(row),
            [cell(row, each) for each in metrics],
            len(listed(row, "flags")),
            seeds(row),
            known.get(text(row.get("id")), ""),
        )
        for row in ordered(content)
    ]
    return Board(heads, lines, _start(found, metrics), best)


def cell(row: Row, found: Metric) -> Cell:
    """A figure with its interval below."""
    values = figure(row, found.key)
    middle, low, high = (number(values.get(key)) for key in ("mean", "low", "high"))
    signed = found.key == "gain"
    small = "" if low is None or high is None else f"{shown(low, found, signed)} to {shown(high, found, signed)}"
    return Cell(shown(middle, found, signed), small, "" if middle is None else repr(middle))


def _metrics(found: Sequence[Row], best: Metric) -> list[Metric]:
    gain = Metric(
        "gain",
        "gain over SFT",
        best.better,
        best.form,
        best.digits,
        "overview quality",
        f"The {best.label} minus SFT's, paired by seed.",
    )
    shown_first = best._replace(views="overview quality drift posture cost")
    rest = [each for each in (*METRICS, *COSTS) if each.key != best.key]
    if not any(mean(row, "flops_with_stages") is not None for row in found):
        rest = [each._replace(views="overview cost") if each.key == "seconds_with_stages" else each for each in rest]
    if not any(mean(row, "win_rate_controlled") is not None for row in found):
        rest = [each._replace(views="overview quality") if each.key == "win_rate" else each for each in rest]
    return [each for each in (shown_first, gain, *rest) if any(mean(row, each.key) is not None for row in found)]


def _rank(row: Row) -> Cell:
    rank = mapping(row, "rank")
    low, high = number(rank.get("low")), number(rank.get("high"))
    middle = number(rank.get("mean"))
    if low is None or high is None:
        return Cell(MISSING)
    sort = (low + high) / 2 if middle is None else middle
    return Cell(f"{low:g}" if low == high else f"{low:g}–{high:g}", "", repr(sort))


def _scale(found: Sequence[Row], best: Metric) -> Callable[[Row], Span | None]:
    """A function from a row to its interval drawing, on one scale for all rows."""
    values = [number(figure(row, best.key).get(key)) for row in found for key in ("mean", "low", "high", "sft")]
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)

    def x(value: object) -> float | None:
        at = number(value)
        return None if at is None else round(EDGE + (WIDTH - 2 * EDGE) * (at - low) / ((high - low) or 1.0), 1)

    def span(row: Row) -> Span | None:
        here = figure(row, best.key)
        middle = x(here.get("mean"))
        return None if middle is None else Span(middle, x(here.get("low")), x(here.get("high")), x(here.get("sft")))

    return span


def _start(found: Sequence[Row], metrics: Sequence[Metric]) -> list[Cell] | None:
    """SFT's own figures, from the first row that carries them; None where SFT has a row of its own."""
    if any(row.get("id") == SFT for row in found):
        return None
    cells = []
    for each in metrics:
        values = (number(figure(row, each.key).get("sft")) for row in found)
        value = next((value for value in values if value is not None), None)
        cells.append(Cell("" if value is None else shown(value, each), "", "" if value is None else repr(value)))
    return cells if any(each.text for each in cells) else None
