"""How long the first run takes: `python benchmarks/first_run.py` starts from an empty store, each time anew.

Prints wall seconds of `algo=ppo` from nothing, then of `algo=dpo` on the same store, then of `algo=ppo` again, and
what each stage took. Seconds are those of this machine; nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {"ppo, empty store": "algo=ppo", "dpo, same store": "algo=dpo", "ppo again": "algo=ppo"}


def once(folder: Path, extra: list[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Wall seconds of each command, and recorded seconds of each stage."""
    walls: dict[str, float] = {}
    for label, override in COMMANDS.items():
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "alignlab", override, *extra], cwd=folder, check=True, capture_output=True
        )
        walls[label] = time.perf_counter() - began
    stages: dict[str, float] = {}
    for manifest in sorted((folder / "store" / "objects").glob("*/manifest.json")):
        found = json.loads(manifest.read_text(encoding="utf-8"))
        stages[found["label"]] = float(found["info"]["seconds"])
    return walls, stages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("overrides", nargs="*", help="more settings, such as experiment=quick")
    options = parser.parse_args()
    rows: dict[str, list[float]] = {}
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            walls, stages = once(Path(folder), options.overrides)
        for label, seconds in {**walls, **{f"  {name}": value for name, value in stages.items()}}.items():
            rows.setdefault(label, []).append(seconds)
    print(f"{os.cpu_count()} cores, {options.runs} runs; seconds, median (range)")
    for label, seconds in rows.items():
        print(f"{label:<40} {statistics.median(seconds):7.1f}  ({min(seconds):.1f} to {max(seconds):.1f})")


if __name__ == "__main__":
    main()
