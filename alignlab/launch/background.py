"""A second process that computes stages which the method does not wait for, on another core.

It works through the same store under the same locks as the first, so whoever comes first computes and the other
waits; results are the same bits either way. It ends with the run, however the run ends.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from alignlab import registry
from alignlab.config import RunConfig
from alignlab.stages.files import disk_error
from alignlab.tracking.console import warn


@contextmanager
def overlapped(settings: RunConfig, log: Path) -> Iterator[None]:
    """Compute the held-out reward model and the SFT evaluation beside the body of the `with`."""
    if not settings.overlap or (os.cpu_count() or 1) < 2:
        yield
        return
    with disk_error(log):
        out = log.open("wb")
    with out:
        child = subprocess.Popen(
            [sys.executable, "-m", "alignlab.launch.background"],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the first process, which then ends this one
        )
        try:
            assert child.stdin is not None
            with suppress(BrokenPipeError), child.stdin:  # it may have failed already, and then says so in its log
                child.stdin.write(pickle.dumps((os.getpid(), settings)))
            yield
        finally:
            _end(child, log)


def _end(child: subprocess.Popen[bytes], log: Path) -> None:
    code = child.poll()
    if code is None:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    elif code:
        warn(f"the second process failed; its stages were computed in the first. See {log}")
    if not code:
        log.unlink(missing_ok=True)


def end_with(parent: int) -> None:
    """End when the parent has: a killed run must leave nothing behind, killed before this process started or after."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def work(settings: RunConfig) -> None:
    """Compute what evaluation needs besides the method."""
    import torch

    from alignlab.data.schema import Split
    from alignlab.stages import best_of
    from alignlab.stages.attacked import Attacker
    from alignlab.stages.evaluated import Evaluator
    from alignlab.stages.graph import Graph

    torch.set_num_threads(settings.trainer.threads or 1)  # as in the first process, for the same bits
    graph = Graph(settings)
    if graph.scored:
        graph.reward(Split.HELD_OUT)
    evaluate = Evaluator(graph, settings.evaluation)
    evaluate(graph.sft, "SFT")
    Attacker(graph, settings.evaluation)(graph.sft, "SFT")
    best_of.curve(evaluate)


def main() -> None:
    """Receive the run's settings from the first process, and work."""
    registry.methods()  # the settings may be of a plugin's class
    parent, settings = pickle.loads(sys.stdin.buffer.read())
    end_with(parent)
    work(settings)


if __name__ == "__main__":
    main()
