"""The jobs of a sweep, run in the test's own process."""

from __future__ import annotations

from typing import Any

from alignlab.launch import record
from alignlab.launch.jobs import Job
from alignlab.launch.outcome import outcome
from alignlab.launch.pool import Ended


class Here:
    """Runs the jobs of a sweep in this process."""

    def __init__(self, workers: int, watch: Any, group: str) -> None:
        self.watch, self.group = watch, group

    def run(self, jobs: list[Job]) -> list[Ended]:
        return [self.one(job) for job in jobs]

    def one(self, job: Job) -> Ended:
        record.begin(job)
        code, reason = outcome(job.settings, job.folder, job.overrides, self.group)
        ended = Ended(job, "failed" if code else "done", reason)
        record.end(job, ended.status, reason, 0.0)
        self.watch.ended(ended)
        return ended
