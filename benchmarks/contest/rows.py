"""What many stored rows cost: making batches of them, and memory. Nothing is trained."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from rich.table import Table

from contest.referee import ContestError, environment
from contest.turns import peak, resident

BATCHES = 200
PAIRS = 16


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Each number of rows in a process of its own."""
    found = []
    for count in given.rows:
        command = [sys.executable, "-m", "contest.rows", str(count)]
        done = subprocess.run(command, env=environment(1), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ContestError(f"{count} rows: {done.stderr.strip().splitlines()[-1]}", "give fewer: --rows 1000")
        found.append(json.loads(done.stdout))
    return {"shape": "rows", "pairs_a_batch": PAIRS, "rows": found}


def table(found: dict[str, Any]) -> Table:
    out = Table(
        *("rows", "first batch ms", "batch ms", "quartiles", "rows MB", "bytes a row"),
        title=f"rows: batches of {found['pairs_a_batch']} pairs",
    )
    for row in found["rows"]:
        low, high = row["quartiles"]
        out.add_row(
            f"{row['rows']:,}",
            f"{row['first_ms']:.1f}",
            f"{row['batch_ms']:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{row['mb']:,.0f}",
            f"{row['mb'] * (1 << 20) / row['rows']:,.0f}",
        )
    return out


def batches(count: int) -> dict[str, Any]:
    """Make so many rows and batches of them, as training does."""
    import numpy as np

    from alignlab.data.module import PreferenceData
    from alignlab.data.tokens import PairTokens
    from alignlab.method import Data
    from alignlab.seeding import Seeds
    from contest.figures import quartiles

    before, draw = resident(), np.random.default_rng(0)
    sizes = draw.integers(16, 65, (count, 3))
    rows = [
        PairTokens(i, *(draw.integers(2, 4096, size, np.int32) for size in three), None, None, False)
        for i, three in enumerate(sizes.tolist())
    ]
    stream = iter(PreferenceData(Data.PAIRS, rows, PAIRS, seeds=Seeds(0), steps=BATCHES + 1).train_dataloader())
    spent = []
    for _ in range(BATCHES + 1):
        began = time.perf_counter()
        next(stream)
        spent.append(1000 * (time.perf_counter() - began))
    low, _, high = quartiles(spent[1:])
    return {
        "rows": count,
        "first_ms": round(spent[0], 2),
        "batch_ms": round(statistics.median(spent[1:]), 3),
        "quartiles": [round(low, 3), round(high, 3)],
        "mb": round(peak() - before, 1),
    }


if __name__ == "__main__":
    print(json.dumps(batches(int(sys.argv[1]))))
