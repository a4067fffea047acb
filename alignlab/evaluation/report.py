"""What a person sees at the end of a run: the table, some replies before and after, flags, and where files are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from alignlab.evaluation.diagnosis import Flag
from alignlab.evaluation.record import Reply, Sample
from alignlab.evaluation.summary import KINDS, Summary
from alignlab.evaluation.table import STRATUM_NAMES, table
from alignlab.judges.config import FEW

LONGEST = 400
"""Characters of a prompt or reply that are printed; the rest is in samples.jsonl."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What to show beside the figures."""

    method: str
    """Name of the method's preset, the heading of its column."""
    title: str = ""
    """What was evaluated: data, model, seed."""
    samples: Sequence[Sample] = ()
    """Samples joined with their SFT twins, in the order of the evaluation."""
    count: int = 4
    """How many of them to show."""
    withheld: Collection[str] = field(default_factory=frozenset)
    """Kinds of request whose text is not shown, such as the harmful requests of real data."""
    judge: Mapping[str, Any] = field(default_factory=dict)
    """Who judged refusals: name, exact, check, as in result.json."""
    flags: Sequence[Flag] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """What -> where."""


def show(summary: Summary, view: View, console: Console) -> None:
    """Print the whole report."""
    figures = [table(summary, view.method, view.title), judged(view.judge)]
    blocks = [*figures, *replies(view), flags(view.flags), _files(view.files)]
    for block in blocks:
        if block is not None:
            console.print(block)
            console.print()


def judged(judge: Mapping[str, Any]) -> Text | None:
    """How far the judge of refusals is to be believed; nothing where it is exact, or where nobody judges."""
    if not judge.get("name") or judge["exact"]:
        return None
    check = judge["check"]
    if check is None:
        text = f"Refusals judged by {judge['name']}, unmeasured: `python -m alignlab judge-check FILE` says how well."
        return Text(text, style="yellow")
    found = {name: check["refusal"][name] for name in ("precision", "recall")}
    told = ", ".join(f"{name} {value:.0%}" for name, value in found.items() if value is not None)
    kappa = "" if check["kappa"] is None else f", kappa {check['kappa']:.2f}"
    few = check["n"] < FEW
    size = f", measured on {check['n']:,} replies only" if few else f" on {check['n']:,} labelled replies"
    return Text(f"Refusals judged by {judge['name']}: {told}{kappa}{size}.", style="yellow" if few else "dim")


def pick(samples: Sequence[Sample], count: int) -> list[Sample]:
    """The first samples of each kind in turn: spread over kinds, not chosen by how they came out."""
    queues: dict[str, list[Sample]] = {kind: [] for kind in KINDS}
    for sample in samples:
        queues.setdefault(sample.prompt.kind, []).append(sample)
    rounds = max((len(queue) for queue in queues.values()), default=0)
    turns = (queue[turn] for turn in range(rounds) for queue in queues.values() if turn < len(queue))
    return [sample for sample, _ in zip(turns, range(count), strict=False)]


def replies(view: View) -> list[RenderableType]:
    """Before/after blocks under one heading; nothing when there are no samples to show."""
    chosen = pick(view.samples, view.count)
    if not chosen:
        return []
    heading = Text.assemble(
        ("Before and after", "bold"), ("  the first replies of each kind, not the best ones", "dim")
    )
    return [heading, *(_reply_block(sample, view) for sample in chosen)]


def flags(raised: Sequence[Flag]) -> RenderableType:
    """What to look at, one sentence a flag."""
    if not raised:
        return Text("Diagnosis: nothing stands out.", style="bold")
    grid = Table.grid(padding=(0, 1))
    grid.title, grid.title_style, grid.title_justify = "Look at", "bold", "left"
    for flag in raised:
        grid.add_row(Text("!", style="bold yellow"), Text(flag.text))
    return grid


def _reply_block(sample: Sample, view: View) -> RenderableType:
    hidden = sample.prompt.kind in view.withheld
    wrapping = f", {sample.prompt.attack}" if sample.prompt.attack else ""
    kind = STRATUM_NAMES.get(sample.prompt.kind, sample.prompt.kind) or "request"
    prompt = "[request withheld]" if hidden else _short(sample.prompt.show())
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column()
    if sample.sft is not None:
        grid.add_row("SFT", _score(sample.sft), _text(sample.sft, hidden))
    grid.add_row(Text(view.method), _score(sample), _text(sample, hidden))
    return Group(Text.assemble((f"{kind}{wrapping}: ", "dim"), (prompt, "italic")), Padding(grid, (0, 0, 0, 2)))


def _score(reply: Reply) -> Text:
    """The best score known: gold, else the held-out reward model's, else the training one's."""
    known = [score for score in (reply.gold, reply.judge_score, reply.proxy) if score is not None]
    return Text(f"{known[0]:+.2f}" if known else "")


def _text(reply: Reply, hidden: bool) -> Text:
    if hidden:
        verdict = f", {reply.verdict.value}" if reply.verdict is not None else ""
        return Text(f"[{reply.length} tokens{verdict}; evaluation.reveal=true shows them]", style="dim")
    text = Text(_short(reply.text))
    return text if reply.ended else text.append(" (cut at the length limit)", style="dim")


def _short(text: str) -> str:
    text = text.strip() or "(empty)"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _files(files: Mapping[str, str]) -> RenderableType | None:
    if not files:
        return None
    grid = Table.grid(padding=(0, 2))
    for what, where in files.items():
        grid.add_row(Text(what, style="dim"), Text(where, overflow="fold"))
    return grid
