"""Jobs in processes of their own, a few at a time: whatever one does, the others go on.

A worker is kept for the next job, since most of a short job is imports. It is replaced when its job failed, was killed
or took too long. Ctrl-C lets every running job write a checkpoint; a second one ends them at once.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignlab.errors import AlignlabError
from alignlab.launch import record
from alignlab.launch.jobs import Job
from alignlab.launch.order import LOG, Order

GRACE = 30.0
"""Seconds that interrupted jobs have for a checkpoint."""
TICK = 0.25
PROGRAM = (sys.executable, "-m", "alignlab.launch.worker")


@dataclass(frozen=True)
class Ended:
    """How one job went."""

    job: Job
    status: str
    """done, failed, killed, interrupted."""
    reason: str = ""
    seconds: float = 0.0


class Worker:
    """One process, and the thread that hears it."""

    def __init__(self, inbox: queue.Queue[tuple[Worker, dict[str, Any] | None]], program: Sequence[str]) -> None:
        self.job: Job | None = None
        self.began = 0.0
        self.stopped = ""
        self._process = subprocess.Popen(
            [*program, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the parent, which passes it on
        )
        threading.Thread(target=self._hear, args=(inbox,), daemon=True).start()

    def _hear(self, inbox: queue.Queue[tuple[Worker, dict[str, Any] | None]]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(ValueError):  # a line that the process was killed in the middle of
                inbox.put((self, json.loads(line)))
        self._process.wait()
        self._process.stdout.close()
        self.dismiss()
        inbox.put((self, None))

    def give(self, job: Job, order: Order) -> None:
        """Start a job; one that is gone already is noticed by its silence."""
        self.job, self.began = job, time.monotonic()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(order.line())
            self._process.stdin.flush()

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def dismiss(self) -> None:
        """Let it end: no job will come."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def cause(self) -> str:
        """Why it ended without a word."""
        if self.stopped:
            return self.stopped
        code = self._process.poll() or 0
        log = self.job.folder / LOG if self.job is not None else Path(LOG)
        see = f"; see {log}" if log.is_file() else ""
        if code == -signal.SIGKILL:
            return f"killed by signal 9, as a machine does that runs out of memory{see}"
        return f"killed by signal {-code}{see}" if code < 0 else f"its process ended with code {code}{see}"


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Whom to tell."""

    began: Callable[[Job], None]
    moved: Callable[[Job, dict[str, Any]], None]
    ended: Callable[[Ended], None]


class Pool:
    """Runs jobs in order, so many at a time, and records each as it begins and ends."""

    def __init__(self, workers: int, watch: Watch, group: str, program: Sequence[str] = PROGRAM) -> None:
        self.workers, self.watch, self.group = workers, watch, group
        self._program = program
        self._inbox: queue.Queue[tuple[Worker, dict[str, Any] | None]] = queue.Queue()
        self._workers: set[Worker] = set()

    def run(self, jobs: Sequence[Job]) -> list[Ended]:
        """Every job to its end. KeyboardInterrupt, once running jobs have stopped, when asked to stop."""
        ahead, done = list(jobs), list[Ended]()
        try:
            while len(done) < len(jobs):
                while ahead and sum(worker.job is not None for worker in self._workers) < self.workers:
                    done += self._start(ahead.pop(0))
                done += self._step(TICK)
        except KeyboardInterrupt:
            self._interrupt()
            raise
        finally:
            self._close()
        return done

    def _start(self, job: Job) -> list[Ended]:
        """Give a job to a worker that waits, or to a new one."""
        try:
            record.begin(job)
        except AlignlabError as error:  # a full disk, say, is this job's failure
            return [self._told(Ended(job, "failed", error.message))]
        idle = next((worker for worker in self._workers if worker.job is None and not worker.stopped), None)
        if idle is None:
            idle = Worker(self._inbox, self._program)
            self._workers.add(idle)
        settings = job.settings
        if self.workers > 1:
            settings.overlap = False  # the other cores have jobs of their own
        idle.give(job, Order(settings, job.folder, job.overrides, self.group))
        self.watch.began(job)
        return []

    def _step(self, seconds: float) -> list[Ended]:
        """Hear what happened; end what took too long."""
        self._end_late()
        try:
            worker, message = self._inbox.get(timeout=seconds)
        except queue.Empty:
            return []
        if message is None:
            return self._gone(worker)
        if "end" in message:
            return self._finished(worker, message)
        if worker.job is not None:
            self.watch.moved(worker.job, message)
        return []

    def _end_late(self) -> None:
        for worker in self._workers:
            minutes = worker.job.settings.job_minutes if worker.job is not None else 0.0
            if minutes and time.monotonic() - worker.began > 60 * minutes and not worker.stopped:
                worker.stopped = f"took longer than job_minutes={minutes:g}"
                worker.signal(signal.SIGKILL)

    def _finished(self, worker: Worker, message: dict[str, Any]) -> list[Ended]:
        job, worker.job = worker.job, None
        assert job is not None
        if message["end"]:
            self._workers.discard(worker)  # it ends by itself
            worker.dismiss()
        status = {0: "done", 130: "interrupted"}.get(message["end"], "failed")
        return [self._told(Ended(job, status, message["reason"], message["seconds"]))]

    def _gone(self, worker: Worker) -> list[Ended]:
        self._workers.discard(worker)
        if worker.job is None:
            return []
        job, cause = worker.job, worker.cause()
        worker.job = None
        return [self._told(Ended(job, "killed", cause, time.monotonic() - worker.began))]

    def _told(self, ended: Ended) -> Ended:
        with suppress(AlignlabError):  # the disk may be full: the sweep says it at its end all the same
            record.end(ended.job, ended.status, ended.reason, round(ended.seconds, 1))
        self.watch.ended(ended)
        return ended

    def _interrupt(self) -> None:
        """Let running jobs write a checkpoint."""
        for worker in self._workers:
            worker.signal(signal.SIGINT)
        limit = time.monotonic() + GRACE
        with suppress(KeyboardInterrupt):
            while any(worker.job is not None for worker in self._workers) and time.monotonic() < limit:
                self._step(TICK)

    def _close(self) -> None:
        for worker in self._workers:
            worker.dismiss()
            if worker.job is not None:
                worker.signal(signal.SIGKILL)
        self._workers.clear()
