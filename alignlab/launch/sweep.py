"""A sweep as a recipe: jobs → what is missing → processes → comparison.

The folder's name is made from the jobs, so the same command finds its folder, and what was computed in it, again.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from alignlab.compose import name_sweep
from alignlab.config import RunConfig
from alignlab.errors import StoreError
from alignlab.launch import record
from alignlab.launch.board import SweepBoard
from alignlab.launch.jobs import Job, Sweep, address, digest, expand, tell
from alignlab.launch.pool import Pool, Watch
from alignlab.launch.tune import Tuning, announce
from alignlab.models.size import SMALL, parameters_in
from alignlab.stages.files import disk_error
from alignlab.stages.key import canonical, dumps
from alignlab.stages.lock import attempted
from alignlab.tracking.console import say

LOCK = ".lock"
LISTED = 3
"""Methods named in a folder's name."""


def planned(overrides: Sequence[str]) -> Sweep:
    """The checked jobs of a command line."""
    return expand(overrides, _place)


def sweep(overrides: Sequence[str], found: Sweep) -> int:
    """Run what is missing, then compare. Returns the exit code: 1 when a job failed."""
    tell(found)
    folder = found.jobs[0].folder.parent
    jobs: Sequence[Job] = found.jobs
    settings = jobs[0].settings
    if settings.tune is None:  # else the jobs are not known yet
        record.refuse_others(jobs)
    with alone(folder):
        announce_jobs(overrides, found)
        at_once = workers(jobs)
        if settings.tune is not None:
            jobs = tuned(jobs, settings, at_once)
        failed = run_jobs(jobs, at_once, folder.name)
        if settings.exact is None:
            from alignlab.launch.compared import conclude

            conclude(folder, settings)
    return int(bool(failed))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the sweep's folder: a second process would remove results that the first has just computed."""
    with disk_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with attempted(folder / LOCK, "sweep") as taken:
        if not taken:
            raise StoreError(f"another process runs the sweep in {folder}", "wait for it, or stop it")
        yield


def announce_jobs(overrides: Sequence[str], found: Sweep) -> None:
    """Write what the folder will hold, for whoever compares it."""
    folder = found.jobs[0].folder.parent
    with disk_error(folder):
        record.write_sweep(folder, f"python -m alignlab -m {shlex.join(overrides)}", found.jobs, found.notes)


def tuned(jobs: Sequence[Job], settings: RunConfig, at_once: int) -> Sequence[Job]:
    """The same jobs with the settings that a search finds for each row."""
    tuning = Tuning(jobs, settings)
    announce(tuning)
    for numbers in tuning.rounds():
        run_jobs(tuning.draw(numbers), at_once, f"{jobs[0].folder.parent.name}-trials")
        tuning.tell(numbers)
        tuning.write()
    found, notes = tuning.winners(jobs)
    record.refuse_others(found)
    for note in notes:
        say(note)
    return found


def run_jobs(jobs: Sequence[Job], at_once: int, group: str) -> list[Job]:
    """Compute what is missing of some jobs; returns those that failed."""
    folder = jobs[0].folder.parent if jobs else Path()
    missing = [job for job in jobs if not record.finished(job)]
    there = len(jobs) - len(missing)
    say(f"{len(jobs)} jobs{f', {there} of them done before' if there else ''}; {at_once} at once, in {folder}")
    board = SweepBoard(missing, there)
    pool = Pool(at_once, Watch(began=board.began, moved=board.moved, ended=board.ended), group)
    try:
        ended = pool.run(missing)
    finally:
        board.close()
    return [each.job for each in ended if each.status != "done"]


def workers(jobs: Sequence[Job]) -> int:
    """How many jobs at once: as asked, else one a core if all have small models on a CPU, else one.

    A larger model takes every core it can get, and a GPU is not shared unasked.
    """
    asked = jobs[0].settings.workers
    wanted = asked or min(_share(job.settings) for job in jobs)
    return max(1, min(wanted, len(jobs)))


def _share(settings: RunConfig) -> int:
    """Jobs like this one that the machine holds at once."""
    accelerator, devices = settings.trainer.accelerator, settings.trainer.devices
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and _sees_gpu())
    threads = max(1, settings.trainer.threads)
    return max(1, cores() // threads) if _small(settings.model) and not on_gpu and devices == 1 else 1


def _small(model: Any) -> bool:
    """Whether a model trains on one thread; one that has yet to come from the hub is taken for large."""
    if model.kind == "tiny":
        return True
    count = parameters_in(Path(os.path.expanduser(model.path)))
    return count is not None and count <= SMALL


def cores() -> int:
    """Cores that this process may use, which a scheduler may have made fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _sees_gpu() -> bool:
    """Whether training would find a CUDA device, without the seconds that importing torch takes."""
    return Path("/dev/nvidiactl").exists() and os.environ.get("CUDA_VISIBLE_DEVICES", "all") not in ("", "-1")


def _place(cfg: DictConfig, settings: Sequence[RunConfig]) -> Path:
    """The sweep's folder, as `hydra.sweep.dir` says."""
    names = list(dict.fromkeys(each.algo.name for each in settings))
    shown = "-".join(names) if len(names) <= LISTED else f"{len(names)}-methods"
    first = settings[0]
    searched = [] if first.tune is None else [dumps(canonical([asdict(first.tune), first.trials, first.ranges]))]
    name_sweep(f"{shown}{'-tuned' * bool(searched)}-{digest([*searched, *map(address, settings)])}")
    with open_dict(cfg.hydra):
        return Path(str(OmegaConf.select(cfg, "hydra.sweep.dir")))
