"""What labels say, as a person reads it in a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alignlab.evaluation.measures import Share
from alignlab.label.store import Judgement
from alignlab.label.summary import reliability, wins


def show(labels: Sequence[Judgement], console: Console) -> None:
    """Counts, how far the labels can be trusted, and win rates of every two methods."""
    if not labels:
        console.print("no labels yet")
        return
    console.print(Text(_counts(labels)))
    found = reliability(labels)
    for name, share, meaning in (
        ("agreement", found.agreement, "of repeats answered as before"),
        ("first place", found.first, "won by what stood first; 50 % is no bias"),
        ("between people", found.between, "answered alike by two annotators"),
    ):
        if share.n:
            console.print(Text(f"  {name:<15} {interval(share)} {meaning}, n = {share.n}"))
    console.print(_table(labels))


def _counts(labels: Sequence[Judgement]) -> str:
    answers = Counter(label.answer for label in labels)
    people = len({label.annotator for label in labels})
    parts = ", ".join(f"{count} {answer}" for answer, count in sorted(answers.items()))
    of = f"{people} {'person' if people == 1 else 'people'}"
    return f"{len(labels)} {'label' if len(labels) == 1 else 'labels'} of {of}: {parts}"


def interval(share: Share) -> str:
    """`62 % [48, 74]`."""
    if share.value is None or share.low is None or share.high is None:
        return "–"
    return f"{100 * share.value:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}]"


def _table(labels: Sequence[Judgement]) -> Table:
    found = wins(labels)
    ids = found["ids"]
    caption = "Wins plus half the ties, 95 % Wilson interval; n counts requests."
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption, caption_style="dim", caption_justify="left")
    for column in ("method", "against"):
        table.add_column(column, overflow="fold")
    for column in ("wins", "n"):
        table.add_column(column, justify="right", no_wrap=True)
    for i, first in enumerate(ids):
        for j, second in enumerate(ids[i + 1 :], start=i + 1):
            value, low, high, n = (found[name][i][j] for name in ("wins", "low", "high", "n"))
            if n:
                table.add_row(Text(first), Text(second), interval(Share(value, low, high, n)), str(n))
    return table
