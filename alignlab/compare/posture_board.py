"""The posture of all rows as a table, for the page and for texts alike: one row a method, SFT and the controls last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from alignlab.compare.board import Cell
from alignlab.compare.content import MISSING, Content, Metric, label, listed, mapping, number, primary, shown

Row = Mapping[str, Any]
SHARE = Metric("share", "", 0, "percent", 1, "", "")


ATTACKED = "Attacked harmful requests refused, minus over-refusal, the worse of look-alike and wrapped."


class Column(NamedTuple):
    """A column; `short` ones are in texts too."""

    key: str
    label: str
    meaning: str
    cell: Callable[[Row], Cell]
    short: bool = False


class Line(NamedTuple):
    """A row with its cells."""

    row: Row
    label: str
    cells: Sequence[Cell]


class Table(NamedTuple):
    """Columns that some row has a figure for, and all rows."""

    columns: Sequence[Column]
    lines: Sequence[Line]


def table(content: Content) -> Table:
    """The table of a content; without columns where it has no posture."""
    rows = listed(mapping(content, "posture"), "rows")
    columns = [each for each in _columns(content, rows) if any(each.cell(row).text != MISSING for row in rows)]
    return Table(columns, [Line(row, label(row), [each.cell(row) for each in columns]) for row in rows if columns])


def _columns(content: Content, rows: Sequence[Row]) -> list[Column]:
    k = max((int(k) for row in rows for k in mapping(row, "breach_at") if str(k).isdecimal()), default=1)
    turn = max((int(number(each.get("turn")) or 0) for row in rows for each in _turns(row)), default=0)
    best = primary(content)
    found = [
        Column(
            "helpfulness",
            "helpfulness",
            f"Mean {best.label} on benign and look-alike requests.",
            lambda row: _cell(mapping(row, "helpfulness"), best._replace(form="number", digits=2)),
            True,
        ),
        *_shares(),
    ]
    if k > 1:
        meaning = f"Harmful goals answered at least once in {k} independent attempts."
        found.append(
            Column("at_k", f"any of {k}, %", meaning, lambda row: _share(mapping(row, "breach_at").get(str(k))), True)
        )
    found.append(
        Column(
            "until",
            "attempts until breach",
            "Median over goals; below, how many times those of SFT. A goal never breached stands above all others.",
            _until,
            True,
        )
    )
    if turn:
        meaning = f"Conversations without a breach through {turn} turns of pressure (Kaplan-Meier)."
        found.append(Column("holds", f"holds {turn} turns, %", meaning, lambda row: _held(row, turn), True))
    meaning = "Fall of breach over SFT, in points for each nat of KL; what drift bought."
    found.append(Column("per_nat", "breach saved, points a nat", meaning, _per_nat))
    return found


def _shares() -> list[Column]:
    told = (
        ("youden_attacked", "J under attack, %", ATTACKED, True),
        ("breach", "breach, %", "Attempts at harmful requests that were answered.", True),
        ("breach_seen", "by seen attacks, %", "By attacks that training contained.", False),
        ("breach_at_16_seen", "any of 16 seen, %", "Goals answered at least once in 16 attacks of seen kinds.", False),
        ("breach_held_out", "by held-out attacks, %", "By attacks that training did not contain.", True),
        ("gap", "held-out − seen, points", "How much of the refusing does not carry over, paired by seed.", False),
    )
    over = (
        ("lookalike", "over-refusal: look-alike, %", "Harmless requests that merely look harmful, refused.", True),
        ("wrapped", "wrapped, %", "Harmless requests worded as an attack, refused.", True),
        ("benign", "benign, %", "Plain harmless requests, refused.", False),
    )
    return [
        *(Column(key, name, meaning, _of(key), short) for key, name, meaning, short in told),
        *(Column(key, name, meaning, _over(key), short) for key, name, meaning, short in over),
    ]


def _of(key: str) -> Callable[[Row], Cell]:
    return lambda row: _share(row.get(key), -1.0 if key in ("youden_attacked", "gap") else 0.0)


def _at(k: str) -> Callable[[Row], Cell]:
    return lambda row: _share(mapping(row, "breach_at").get(k))


def _over(kind: str) -> Callable[[Row], Cell]:
    return lambda row: _share(mapping(row, "over").get(kind))


def _share(found: Any, least: float | None = 0.0) -> Cell:
    """A share, or with -1 a difference of shares, its interval cut to what it can be; with None as it is."""
    known = found if isinstance(found, Mapping) else {}
    ends = {key: number(known.get(key)) for key in ("low", "high")}
    cut = {key: end if end is None or least is None else min(1.0, max(least, end)) for key, end in ends.items()}
    return _cell({**known, **cut}, SHARE)


def _cell(found: Mapping[str, Any], metric: Metric) -> Cell:
    middle, low, high = (number(found.get(key)) for key in ("mean", "low", "high"))
    small = "" if low is None or high is None or low == high else f"{shown(low, metric)} to {shown(high, metric)}"
    return Cell(shown(middle, metric), small, "" if middle is None else repr(middle))


def _until(row: Row) -> Cell:
    found = mapping(row, "until")
    median, beyond = number(found.get("median")), number(found.get("beyond"))
    if median is None and beyond is None:
        return Cell(MISSING)
    ratio = mapping(found, "ratio")
    times, low, high = (number(ratio.get(key)) for key in ("mean", "low", "high"))
    span = "" if low is None or high is None else f" ({low:.2g}–{high:.2g})"
    small = "" if times is None else f"{'≥ ' if ratio.get('bound') else ''}{times:.2g}× SFT{span}"
    return Cell(f"> {beyond:.0f}" if median is None else f"{median:.3g}", small, repr(median or beyond))


def _per_nat(row: Row) -> Cell:
    """Where the KL is a bound from above, what a nat bought is one from below."""
    found = _share(row.get("per_nat"), None)
    return found._replace(text=f"≥ {found.text}") if row.get("kl_known") == "bound" and found.sort else found


def _turns(row: Row) -> list[Mapping[str, Any]]:
    return listed(mapping(row, "survival"), "turns")


def _held(row: Row, turn: int) -> Cell:
    return next((_share(each.get("survival")) for each in _turns(row) if each.get("turn") == turn), Cell(MISSING))
