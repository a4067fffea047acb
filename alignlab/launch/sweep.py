"""What a sweep prints when it is complete: one row a job, and why those failed that did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from alignlab.tracking.console import results

SHOWN = {"gold": "eval/gold", "kl": "eval/kl"}
"""Column and metric."""


@dataclass(frozen=True)
class Job:
    """One job of a sweep, or a single run."""

    method: str
    """The preset's name."""
    seed: int
    overrides: Sequence[str]
    folder: Path
    sweep: Path | None
    """Folder of all jobs."""
    code: int
    reason: str
    """Why `code` is not 0; empty otherwise."""


def show(jobs: Sequence[Job]) -> None:
    """Print the table of a sweep."""
    varied = _varied(jobs)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for column in ("seed", *(key.rpartition(".")[2] for key in varied), *SHOWN):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("folder", overflow="fold")
    for job in jobs:
        metrics = _metrics(job)
        figures = [_figure(metrics.get(name)) for name in SHOWN.values()]
        chosen = [_choices(job).get(key, "") for key in varied]
        status = Text("failed", style="bold red") if job.code else Text("done")
        table.add_row(job.method, str(job.seed), *chosen, *figures, status, job.folder.name)
    results.print(table)
    failed = [job for job in jobs if job.code]
    for job in failed:
        results.print(Text(f"{job.folder.name} failed: {job.reason}"), soft_wrap=True)
    count = f"{len(jobs) - len(failed)} of {len(jobs)} jobs done"
    results.print(Text(f"{count}, in {jobs[0].folder.parent}"), soft_wrap=True)


def _choices(job: Job) -> Mapping[str, str]:
    pairs = (item.partition("=") for item in job.overrides)
    return {key.lstrip("+"): value for key, _, value in pairs}


def _varied(jobs: Sequence[Job]) -> list[str]:
    """Settings besides method and seed in which the jobs differ, in the order they were typed."""
    values: dict[str, set[str]] = {}
    for job in jobs:
        for key, value in _choices(job).items():
            values.setdefault(key, set()).add(value)
    return [key for key, found in values.items() if key not in ("algo", "seed") and len(found) > 1]


def _metrics(job: Job) -> Mapping[str, float | None]:
    if job.code:
        return {}
    try:
        content = json.loads((job.folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(content.get("metrics", {}))


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
