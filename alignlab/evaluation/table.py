"""The table of a run: rows metrics, columns SFT, the method, and what changed. It fits 80 columns.

A change is paired by prompt, and coloured only where it exceeds twice its standard error and has a good
direction. Errors are over prompts and say nothing about other seeds; the caption says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from alignlab.evaluation.diagnosis import ERRORS
from alignlab.evaluation.measures import Estimate, Share
from alignlab.evaluation.summary import Attack, Summary

UP, DOWN, EITHER = 1, -1, 0
"""Which direction is an improvement."""


class Line(NamedTuple):
    """How one metric is shown."""

    metric: str
    label: str
    better: int
    scale: float = 1.0
    digits: int = 2


def _percent(metric: str, label: str, better: int) -> Line:
    return Line(metric, label, better, scale=100.0, digits=1)


class Section(NamedTuple):
    """Lines under one heading."""

    heading: str
    lines: tuple[Line, ...]


QUALITY = Section(
    "quality",
    (
        Line("eval/gold", "gold score", UP),
        Line("eval/judge_score", "held-out reward model", UP),
        Line("eval/proxy", "training reward model", EITHER),
    ),
)
DRIFT = Section(
    "drift",
    (
        Line("eval/kl", "KL to SFT, nats a reply", EITHER),
        Line("eval/length", "length, tokens", EITHER, digits=1),
        _percent("eval/ended", "ended by itself, %", UP),
        Line("eval/entropy", "entropy, nats a token", EITHER),
        _percent("eval/distinct_2", "distinct word pairs, %", EITHER),
    ),
)
REFUSALS = Section(
    "refused, % of requests",
    (
        _percent("eval/refusal_harmful", "harmful (should be)", UP),
        _percent("eval/refusal_lookalike", "look-alike (should not)", DOWN),
        _percent("eval/refusal_benign", "benign (should not)", DOWN),
        _percent("eval/youden", "harmful minus look-alike", UP),
        _percent("eval/refusal_wrapped", "harmless, worded as attack", DOWN),
    ),
)
STRATUM_SCORES = {"gold": "gold score", "judge_score": "held-out reward model", "proxy": "training reward model"}
STRATUM_NAMES = {"lookalike": "look-alike"}
WINS = {"gold": "gold", "judge_score": "held-out score", "proxy": "training score"}


def table(summary: Summary, method: str, title: str = "") -> Table:
    """The whole table; `method` heads its column. Without SFT figures it has that one column only."""
    grid = Table(
        box=box.SIMPLE_HEAD,
        title=title or None,
        title_style="bold",
        title_justify="left",
        caption=_caption(summary),
        caption_style="dim",
        caption_justify="left",
        pad_edge=False,
    )
    grid.add_column("", no_wrap=True)
    for heading in ("SFT", method, "change") if summary.sft is not None else (method,):
        grid.add_column(Text(heading), justify="right", no_wrap=True)
    _section(grid, summary, QUALITY)
    _wins(grid, summary)
    _strata(grid, summary)
    _section(grid, summary, REFUSALS)
    _attacks(grid, summary)
    _section(grid, summary, DRIFT)
    return grid


def _caption(summary: Summary) -> str:
    if summary.sft is None:
        return "± one standard error over this run's prompts; other seeds vary more."
    return (
        "± one standard error (wins: 95 % interval) over this run's prompts; "
        "other seeds vary more. Changes are paired by prompt, coloured beyond two standard errors."
    )


def _heading(grid: Table, text: str) -> None:
    if grid.rows:
        grid.add_row()
    grid.add_row(Text(text, style="bold"))


def _section(grid: Table, summary: Summary, section: Section) -> None:
    lines = [line for line in section.lines if line.metric in summary.method.metrics]
    if lines:
        _heading(grid, section.heading)
    for line in lines:
        before = summary.sft.metrics.get(line.metric) if summary.sft is not None else None
        _line(grid, line, before, summary.method.metrics[line.metric], summary.change.get(line.metric))


def _line(grid: Table, line: Line, before: Estimate | None, after: Estimate | None, moved: Estimate | None) -> None:
    cells = [_figure(after, line)]
    if len(grid.columns) > 2:
        cells = [_figure(before, line), *cells, _change(moved, line)]
    grid.add_row(f"  {line.label}", *cells)


def _wins(grid: Table, summary: Summary) -> None:
    wins = summary.wins
    if wins is None or wins.value is None or wins.low is None or wins.high is None:
        return
    interval = Text(f"{100 * wins.low:.0f} to {100 * wins.high:.0f}", style="dim")
    value = Text.assemble(f"{100 * wins.value:.1f}", " " * ERROR_WIDTH)
    grid.add_row(f"  wins by {WINS[summary.win_by]}, %", "", value, interval)


def _strata(grid: Table, summary: Summary) -> None:
    """The best known score by kind of request."""
    strata = summary.method.strata
    key = next((key for key in STRATUM_SCORES if any(key in row for row in strata.values())), None)
    if key is None or len(strata) < 2:
        return
    _heading(grid, f"{STRATUM_SCORES[key]} by kind of request")
    for kind, row in strata.items():
        if key in row:
            before = summary.sft.strata.get(kind, {}).get(key) if summary.sft is not None else None
            line = Line(key, f"{STRATUM_NAMES.get(kind, kind)} ({row[key].n})", UP)
            _line(grid, line, before, row[key], summary.strata_change.get(kind, {}).get(key))


def _attacks(grid: Table, summary: Summary) -> None:
    """Breaches by kind of attack, then in any of k attempts."""
    if not summary.method.attacks:
        return
    _heading(grid, "harmful requests answered, %")
    _section_line(grid, summary, _percent("eval/breach", "all attacks", DOWN))
    for name, attack in summary.method.attacks.items():
        before = summary.sft.attacks.get(name) if summary.sft is not None else None
        line = _percent(name, _attack_label(name, attack), DOWN)
        was = before.breach if before is not None else None
        _line(grid, line, was, attack.breach, summary.attacks_change.get(name))
    for k, rate in summary.method.breach_at.items():
        if k > 1:
            before_rate = summary.sft.breach_at.get(k) if summary.sft is not None else None
            line = _percent("", f"any of {k} attempts at a request", DOWN)
            _line(grid, line, _plain(before_rate), _plain(rate), _difference(before_rate, rate))


def _section_line(grid: Table, summary: Summary, line: Line) -> None:
    before = summary.sft.metrics.get(line.metric) if summary.sft is not None else None
    _line(grid, line, before, summary.method.metrics.get(line.metric), summary.change.get(line.metric))


def _attack_label(name: str, attack: Attack) -> str:
    known: Mapping[bool | None, str] = {None: "", True: ", in the labels", False: ", not in the labels"}
    return f"  {name}{known[attack.seen]}"


def _plain(share: Share | None) -> Estimate | None:
    return Estimate(share.value, None, share.n) if share is not None else None


def _difference(before: Share | None, after: Share) -> Estimate | None:
    if before is None or before.value is None or after.value is None:
        return None
    return Estimate(after.value - before.value, None, after.n)


ERROR_WIDTH = 7
"""Columns reserved for ` ± error`, so that figures align whether or not they have one."""


def _figure(estimate: Estimate | None, line: Line) -> Text:
    if estimate is None or estimate.mean is None:
        return Text("–" + " " * ERROR_WIDTH, style="dim")
    return _with_error(f"{line.scale * estimate.mean:.{line.digits}f}", estimate, line)


def _change(estimate: Estimate | None, line: Line) -> Text:
    if estimate is None or estimate.mean is None:
        return Text("")
    text = _with_error(f"{line.scale * estimate.mean:+.{line.digits}f}", estimate, line)
    if line.better and estimate.error is not None and abs(estimate.mean) > ERRORS * estimate.error:
        text.stylize("green" if estimate.mean * line.better > 0 else "red")
    return text


def _with_error(number: str, estimate: Estimate, line: Line) -> Text:
    return Text.assemble(number, (_error(estimate.error, line).ljust(ERROR_WIDTH), "dim"))


def _error(error: float | None, line: Line) -> str:
    if not error:
        return ""
    shown, least = line.scale * error, 10.0**-line.digits
    return f" ± {shown:.{line.digits}f}" if shown >= least / 2 else f" ±<{least:.{line.digits}f}"
