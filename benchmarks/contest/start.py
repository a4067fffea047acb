"""How long alignlab takes to start: help, and a whole run of one step whose stages are in the store already."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from rich.table import Table

from contest.figures import quartiles
from contest.referee import timed

IMPORTS = "import torch, lightning, transformers"
RUN = ("algo=dpo", "experiment=quick", "overlap=false", "budget=steps", "budget.limit=1")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each command, taking turns; the first run, which fills the store, is left out."""
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        timed(folder, 1, "-m", "alignlab", *RUN)
        for number in range(given.repeats):
            commands = {
                "--help": ("-m", "alignlab", "--help"),
                "imports": ("-c", IMPORTS),
                "run, warm store": ("-m", "alignlab", *RUN, *another_rate(number)),
            }
            for name, command in commands.items():
                seconds.setdefault(name, []).append(timed(folder, 1, *command))
    return {"shape": "start", "seconds": {name: [round(v, 3) for v in found] for name, found in seconds.items()}}


def another_rate(number: int) -> tuple[str, ...]:
    """Another rate each time, so that the method itself is never found in the store."""
    return (f"algo.lr={1e-4 * (number + 1):.1e}",)


def table(found: dict[str, Any]) -> Table:
    out = Table("start", "seconds", "quartiles")
    for name, seconds in found["seconds"].items():
        low, _, high = quartiles(seconds)
        out.add_row(name, f"{statistics.median(seconds):.2f}", f"{low:.2f} to {high:.2f}")
    return out
