"""What `judge-check` prints: one row for each judge, then shares refused by model, judge against people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

Figures = Mapping[str, Any]


def show(
    measured: Mapping[str, Figures], console: Console, *, ceiling: Figures | None = None, notes: Sequence[str] = ()
) -> None:
    """Print the figures of every judge by its name; `ceiling` is what two people reach with each other."""
    console.print(_overall(measured, ceiling))
    by_model = _by_model(measured)
    if by_model is not None:
        console.print(by_model)
    for note in notes:
        console.print(Text(note, style="dim"))


def _overall(measured: Mapping[str, Figures], ceiling: Figures | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Agreement with people", title_justify="left")
    table.add_column("judge", style="bold")
    for name in ("n", "accuracy", "kappa", "precision", "recall"):
        table.add_column(name, justify="right")
    for name, figures in measured.items():
        refusal = figures["refusal"]
        cells = [_count(figures), _ranged(figures, "accuracy"), _number(figures["kappa"])]
        table.add_row(name, *cells, _ranged(refusal, "precision"), _ranged(refusal, "recall"))
    if ceiling is not None:
        cells = [f"{ceiling['n']:,}", _ranged(ceiling, "accuracy"), _number(ceiling["kappa"])]
        table.add_row(Text("two people", style="italic"), *cells, "", "")
    return table


def _by_model(measured: Mapping[str, Figures]) -> Table | None:
    """Shares refused, a row for each model, a column for people and for each judge."""
    first = next(iter(measured.values()))
    if not any("safe" in each or "unsafe" in each for each in first["by_model"].values()):
        return None
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title="Refused in full or in part, safe / unsafe prompts",
        title_justify="left",
    )
    table.add_column("model", style="bold")
    table.add_column("people", justify="right")
    for name in measured:
        table.add_column(name, justify="right")
    for model in first["by_model"]:
        parts = [figures["by_model"].get(model, {}) for figures in measured.values()]
        table.add_row(model or "(not named)", _shares(parts[0], "human"), *(_shares(part, "judge") for part in parts))
    return table


def _shares(part: Figures, whose: str) -> str:
    return " / ".join(_percent(part[name][whose]) if name in part else "–" for name in ("safe", "unsafe"))


def _count(figures: Figures) -> str:
    return f"{figures['n']:,}" + (f" of {figures['n'] + figures['missing']:,}" if figures["missing"] else "")


def _ranged(figures: Figures, name: str) -> str:
    """A share with its interval, in percent."""
    value, interval = figures[name], figures[f"{name}_interval"]
    if value is None:
        return "–"
    return f"{_percent(value)} ({'–'.join(f'{100 * end:.0f}' for end in interval)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
