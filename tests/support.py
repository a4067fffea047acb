"""Settings under which a whole run takes seconds, and the command line as a test calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TINY = (
    "model.hidden=16",
    "model.layers=1",
    "model.heads=2",
    "model.intermediate=32",
    "data.demonstrations=200",
    "data.pairs=100",
    "data.held_out_pairs=60",
    "evaluation.prompts=20",
    "evaluation.goals=4",
    "evaluation.attempts=2",
    "evaluation.frontier=0",
    "evaluation.posture.harmless=2",
    "evaluation.posture.turns=2",
    "evaluation.show=1",
    "rollout.max_new_tokens=16",
    "stages.sft.epochs=1",
    "stages.reward.epochs=1",
    "stages.cost.epochs=1",
    "overlap=false",
)
OFFLINE = ("algo.batch_size=16",)
ONLINE = ("algo.batch_size=16", "algo.steps=2")


def alignlab(
    *arguments: str,
    cwd: Path,
    python: str | Path = sys.executable,
    path: tuple[Path, ...] = (),
    environment: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """`python -m alignlab` in a process of its own; `path` is searched before what is installed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ALIGNLAB", "HYDRA"))}
    settings = {"OMP_NUM_THREADS": "1", "COLUMNS": "80", "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [str(python), "-m", "alignlab", *arguments],
        cwd=cwd,
        env={**inherited, **settings, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
