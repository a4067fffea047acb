"""Starts contenders, each in a process of its own, and gives them turns: A B C, A B C, …

All stay alive through a contest and wait without computing, so that a round is as close in time as it can be and
drift of the machine hits all alike. What is reported is therefore the ratio within each round.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alignlab.errors import AlignlabError

HERE = Path(__file__).resolve().parents[1]
OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


class ContestError(AlignlabError):
    """A contender did not finish its steps."""


def environment(threads: int) -> dict[str, str]:
    """What a measured process finds around it; 0 threads leaves their number to it."""
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    fixed = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)} if threads else {}
    return {**os.environ, **OFFLINE, **fixed, "PYTHONPATH": os.pathsep.join(paths)}


def timed(folder: Path, threads: int, *command: str) -> float:
    """Wall seconds of a Python command in a folder. ContestError where it fails."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment(threads), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ContestError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-800:]}", "run it by itself")
    return time.perf_counter() - began


@dataclass
class Lane:
    """What one contender did."""

    contender: str
    setup: float = 0.0
    """Seconds from the end of imports to the first step."""
    seconds: list[float] = field(default_factory=list)
    """Of each step, warm-up left out."""
    worked: list[float] = field(default_factory=list)
    """Processor seconds of the same steps, which other processes on the machine disturb less."""
    losses: list[float | None] = field(default_factory=list)
    """Of each step, warm-up included; None where a contender samples."""
    peak_mb: float = 0.0
    imports_mb: float = 0.0


def contest(
    shape: str, task: str, contenders: Sequence[str], folder: Path, *, rounds: int, warm: int = 2, threads: int = 1
) -> list[Lane]:
    """Every contender's steps on one task, taking turns. ContestError, with the end of its log, where one fails."""
    with ExitStack() as stack:
        runners = [stack.enter_context(_Runner(name, task, shape, folder, threads)) for name in contenders]
        for each in runners:
            each.lane.setup = each.hear()["ready"]
        for number in range(warm + rounds):
            for each in runners:
                each.tell("go")
                found = each.hear()
                each.lane.losses.append(found["loss"])
                if number >= warm:
                    each.lane.seconds.append(found["seconds"])
                    each.lane.worked.append(found["worked"])
        for each in runners:
            each.tell("stop")
            found = each.hear()
            each.lane.peak_mb, each.lane.imports_mb = found["peak_mb"], found["imports_mb"]
        return [each.lane for each in runners]


class _Runner:
    """A contender's process."""

    def __init__(self, contender: str, task: str, shape: str, folder: Path, threads: int) -> None:
        self.lane = Lane(contender)
        self.command = [sys.executable, "-m", "contest.child", contender, task, shape, str(folder), str(threads)]
        self.environment = environment(threads)

    def __enter__(self) -> _Runner:
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.kill()
        self.process.communicate()
        self.log.close()

    def tell(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The next message; ContestError where there is none."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        self.log.seek(0)
        tail = self.log.read().strip().splitlines()[-8:]
        raise ContestError(
            f"{self.lane.contender} stopped: " + "\n".join(tail),
            "pip install 'alignlab[bench]', or leave it out: --only",
        )
