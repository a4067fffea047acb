"""How a contender in a process of its own takes turns: it calls `turns()` before each of its steps.

The call ends the step before it, waits until the referee says go, and starts the clock of the next one. Collating,
logging and whatever else stands between two steps is therefore part of a step, for all contenders alike.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, TextIO


class Turns:
    """The contender's end of the line to the referee."""

    def __init__(self, answers: TextIO, orders: TextIO) -> None:
        self.answers, self.orders = answers, orders
        self.began = time.perf_counter()
        self.imported = 0.0
        self.started: float | None = None
        self.worked = 0.0
        self.loss: Any = None
        """Of the step under way, where a contender says; a tensor or number."""

    def ready(self) -> None:
        """Imports are done: what memory grows by from here is the contender's own, and set-up is timed."""
        self.began, self.imported = time.perf_counter(), resident()

    def __call__(self) -> None:
        """End a step, if one is under way, and wait for the next; raises SystemExit when there is none."""
        now = time.perf_counter()
        if self.started is None:
            self._say(ready=now - self.began)
        else:
            worked = time.process_time() - self.worked
            self._say(
                seconds=now - self.started,
                worked=worked,
                loss=None if self.loss is None else float(self.loss),
            )
        self.loss = None
        if self.orders.readline().strip() != "go":
            self._say(peak_mb=peak(), imports_mb=self.imported)
            raise SystemExit(0)
        self.started, self.worked = time.perf_counter(), time.process_time()

    def _say(self, **facts: Any) -> None:
        self.answers.write(json.dumps(facts) + "\n")
        self.answers.flush()


def line() -> Turns:
    """The line over stdin and stdout; whatever else prints goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return Turns(answers, sys.stdin)


def resident() -> float:
    """Memory in use by this process, MB."""
    return _status("VmRSS") or _reported()


def peak() -> float:
    """Most memory that this process ever used, MB."""
    return _status("VmHWM") or _reported()


def _status(name: str) -> float:
    """What Linux says of this process alone; rusage would count the parent it was forked from."""
    path = Path("/proc/self/status")
    if not path.is_file():
        return 0.0
    found = [row.split()[1] for row in path.read_text(encoding="utf-8").splitlines() if row.startswith(f"{name}:")]
    return int(found[0]) / 1024 if found else 0.0


def _reported() -> float:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1024)
