"""A sweep as a recipe: jobs → what is missing → processes → comparison.

The folder's name is made from the jobs, so the same command finds its folder, and what was computed in it, again.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from alignlab.compose import name_sweep
from alignlab.config import RunConfig
from alignlab.launch import record
from alignlab.launch.board import SweepBoard
from alignlab.launch.jobs import Job, Sweep, address, digest, expand, tell
from alignlab.launch.pool import Limits, Pool, Watch
from alignlab.launch.tune import Tuning, announce
from alignlab.stages.files import disk_error
from alignlab.stages.key import canonical, dumps
from alignlab.tracking.console import say

LISTED = 3
"""Methods named in a folder's name."""


def planned(overrides: Sequence[str]) -> Sweep:
    """The checked jobs of a command line."""
    return expand(overrides, _place)


def sweep(overrides: Sequence[str], found: Sweep) -> int:
    """Run what is missing, then compare. Returns the exit code: 1 when a job failed."""
    tell(found)
    jobs, folder = found.jobs, found.jobs[0].folder.parent
    settings = jobs[0].settings
    command = f"python -m alignlab -m {shlex.join(overrides)}"
    with disk_error(folder):
        record.write_sweep(folder, command, jobs, found.notes)
    limits = Limits(workers=workers(settings, len(jobs)), minutes=settings.job_minutes)
    if settings.tune is not None:
        jobs = tuned(jobs, settings, limits)
    failed = run_jobs(jobs, limits, folder.name)
    if settings.exact is None:
        from alignlab.launch.compared import conclude

        conclude(folder, settings)
    return int(bool(failed))


def tuned(jobs: Sequence[Job], settings: RunConfig, limits: Limits) -> Sequence[Job]:
    """The same jobs with the settings that a search finds for each row."""
    tuning = Tuning(jobs, settings)
    announce(tuning)
    for numbers in tuning.rounds():
        run_jobs(tuning.draw(numbers), limits, f"{jobs[0].folder.parent.name}-trials")
        tuning.tell(numbers)
        tuning.write()
    found, notes = tuning.winners(jobs)
    for note in notes:
        say(note)
    return found


def run_jobs(jobs: Sequence[Job], limits: Limits, group: str) -> list[Job]:
    """Compute what is missing of some jobs; returns those that failed."""
    folder = jobs[0].folder.parent if jobs else Path()
    missing = [job for job in jobs if not record.finished(job)]
    there = len(jobs) - len(missing)
    say(f"{len(jobs)} jobs{f', {there} of them done before' if there else ''}; {limits.workers} at once, in {folder}")
    board = SweepBoard(missing, there)
    pool = Pool(limits, Watch(began=board.began, moved=board.moved, ended=board.ended), group)
    try:
        ended = pool.run(missing)
    finally:
        board.close()
    return [each.job for each in ended if each.status != "done"]


def workers(settings: RunConfig, jobs: int) -> int:
    """How many jobs at once: as asked, else one a core for small models on a CPU, else one.

    A model of one's own takes every core it can get, and a GPU is not shared unasked.
    """
    if settings.workers:
        return min(settings.workers, jobs)
    alone = settings.trainer.accelerator in ("gpu", "cuda") or settings.trainer.devices > 1
    small = settings.model.kind == "tiny" or settings.trainer.threads == 1
    return max(1, min(jobs, (os.cpu_count() or 1) if small and not alone else 1))


def _place(cfg: DictConfig, settings: Sequence[RunConfig]) -> Path:
    """The sweep's folder, as `hydra.sweep.dir` says."""
    names = list(dict.fromkeys(each.algo.name for each in settings))
    shown = "-".join(names) if len(names) <= LISTED else f"{len(names)}-methods"
    first = settings[0]
    searched = [] if first.tune is None else [dumps(canonical([asdict(first.tune), first.trials]))]
    name_sweep(f"{shown}{'-tuned' * bool(searched)}-{digest([*searched, *map(address, settings)])}")
    with open_dict(cfg.hydra):
        return Path(str(OmegaConf.select(cfg, "hydra.sweep.dir")))
