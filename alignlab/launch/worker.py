"""A process that runs the jobs of a sweep one after another, so that libraries are imported once.

It reads pickled jobs, one a line, from its standard input and writes what happens, as JSON lines, to what was its
standard output; everything else that it and its libraries print goes to the job's `log.txt`. It ends with its parent,
however that ends. A job that fails ends the process too: what it may have left behind reaches no other job.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from alignlab import registry
from alignlab.launch.background import end_with
from alignlab.launch.order import LOG, Order
from alignlab.launch.outcome import outcome
from alignlab.tracking import progress

TOLD_SECONDS = 0.5
"""Progress is told at most this often."""


class Channel:
    """The line to the parent."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0.0

    def send(self, **message: Any) -> None:
        """Tell the parent; one that is gone takes this process along by itself."""
        try:
            self._stream.write(json.dumps(message) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            os._exit(1)

    def progress(self, stage: progress.Stage) -> None:
        """What the running stage is and how far it has come."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + TOLD_SECONDS
            self.send(stage=stage.label, done=stage.done, total=stage.total)


def _own_streams() -> TextIO:
    """Keep the pipe to the parent for messages alone; what is printed before a job has a log is an error."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _print_to(path: Path) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)


def _run(order: Order, channel: Channel) -> int:
    began = time.perf_counter()
    try:
        order.folder.mkdir(parents=True, exist_ok=True)
        _print_to(order.folder / LOG)
        code, reason = outcome(order.settings, order.folder, order.overrides, order.group)
    except KeyboardInterrupt:
        code, reason = 130, "interrupted"
    except SystemExit as end:
        code, reason = int(end.code or 1), "told to stop"
    except OSError as error:
        code, reason = 1, f"{order.folder}: {error.strerror}"
    channel.send(end=code, reason=reason, seconds=round(time.perf_counter() - began, 1))
    return code


def main() -> None:
    """Serve jobs until the parent closes the pipe."""
    end_with(int(sys.argv[1]))
    channel = Channel(_own_streams())
    progress.observe(channel.progress)
    registry.methods()  # settings may be of a plugin's class
    for line in sys.stdin.buffer:
        if _run(Order.read(line), channel):
            return


if __name__ == "__main__":
    main()
