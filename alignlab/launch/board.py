"""All jobs of a sweep at a glance: one line for what is done and when the rest will be, one for each running job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alignlab.launch.jobs import Job
from alignlab.launch.pool import Ended
from alignlab.tracking.console import messages, say
from alignlab.tracking.progress import Stage, duration


class SweepBoard:
    """Lines on stderr; where that is no terminal, one line each time a job ends."""

    def __init__(self, jobs: Sequence[Job], finished: int) -> None:
        self._count = finished
        self._all = len(jobs) + finished
        self._total = Stage("sweep", self._all, unit="jobs", patience=0.0)
        self._total.resume(finished)
        self._running: dict[Job, Stage] = {}

    def began(self, job: Job) -> None:
        """A line for the job."""
        self._running[job] = Stage(job.name, unit="steps", patience=0.0)

    def moved(self, job: Job, message: dict[str, Any]) -> None:
        """What the job is at."""
        stage = self._running.get(job)
        if stage is None or "stage" not in message:
            return
        if not messages.is_terminal:
            return
        stage.label, stage.total = f"{job.name}: {_short(message['stage'], job)}", message["total"]
        stage.update(int(message["done"]))
        self._total.update(self._count)

    def ended(self, ended: Ended) -> None:
        """Take its line away; say how it went."""
        stage = self._running.pop(ended.job, None)
        if stage is not None:
            stage.discard()
        self._count += 1
        why = f": {ended.reason}" if ended.reason else ""
        style = "" if ended.status == "done" else "bold red"
        say(f"{self._count}/{self._all}  {ended.job.name}  {ended.status} in {duration(ended.seconds)}{why}", style)
        if messages.is_terminal:
            self._total.update(self._count)

    def close(self) -> None:
        """Take every line away."""
        for stage in (*self._running.values(), self._total):
            stage.discard()
        self._running.clear()


def _short(label: str, job: Job) -> str:
    """Without what stands before it already."""
    return label.replace(f"{job.settings.algo.name}, seed {job.settings.seed}", "training")
