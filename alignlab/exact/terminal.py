"""The table that the experiment prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from alignlab.exact.cases import Case, Outcome
from alignlab.exact.page import figure
from alignlab.exact.settings import ExactConfig
from alignlab.tracking.console import results


def show(outcomes: Sequence[Outcome], absent: Sequence[Case], settings: ExactConfig) -> None:
    """One row a method, then what was left out."""
    caption = (
        "KL in nats a completion. predicted: KL(predicted||pi); pi*: KL(pi*||pi); "
        f"flips: KL(pi*||pi) with {100 * settings.flip:g} % of labels inverted."
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption, caption_style="dim", caption_justify="left")
    table.add_column("method", no_wrap=True)
    table.add_column("arrives at", no_wrap=True)
    for column in ("predicted", "pi*", "J gap", "flips"):
        table.add_column(column, justify="right", no_wrap=True)
    for outcome in outcomes:
        found = outcome.figures
        flipped = outcome.flipped.from_optimum if outcome.flipped else None
        numbers = map(figure, (outcome.from_prediction, found.from_optimum, found.gap, flipped))
        style = "green" if "optimum" in outcome.verdict else ""
        table.add_row(outcome.case.name, Text(outcome.verdict, style=style), *numbers)
    results.print(table)
    if absent:
        names = "; ".join(f"{case.name} {case.why_not}" for case in absent)
        results.print(Text(f"Not trained: {names}.", style="dim"))
