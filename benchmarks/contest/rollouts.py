"""Sampled tokens a second beside transformers' generate: benchmarks/rollout.py, at two sizes of model."""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from rich.table import Table

from contest.figures import quartiles

SIZES = {
    "medium": "1 M parameters, 64 rows",
    "medium-few": "1 M, 16 rows",
    "medium-ending": "1 M, 64 rows that end",
    "medium-groups": "1 M, groups of 8, rows that end",
    "large": "4.2 M parameters",
}
BASE = "generate"


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Every engine takes its turn in one process."""
    import rollout
    import torch

    torch.set_num_threads(given.threads)
    speeds = {name: rollout.measure(rollout.SHAPES[name], given.repeats) for name in SIZES}
    return {"shape": "rollouts", "ratio_to": BASE, "tokens_per_second": speeds}


def table(found: dict[str, Any]) -> Table:
    out = Table("", "engine", "ratio", "quartiles", "tokens/s", title=f"rollouts: speed against {BASE}")
    for name, engines in found["tokens_per_second"].items():
        for engine, speeds in engines.items():
            low, ratio, high = quartiles([own / base for own, base in zip(speeds, engines[BASE], strict=True)])
            middle = f"{statistics.median(speeds):,.0f}"
            out.add_row(SIZES[name], engine, f"{ratio:.2f}", f"{low:.2f} to {high:.2f}", middle)
    return out
