"""`python -m alignlab experiment=exact`: train every method where the answer is known, and say where it went."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import torch

from alignlab.errors import ConfigError
from alignlab.exact.cases import Case, Outcome, cases, train
from alignlab.exact.page import page
from alignlab.exact.settings import ExactConfig
from alignlab.exact.terminal import show
from alignlab.stages.files import atomic_write_json, atomic_write_text, disk_error
from alignlab.tracking.console import say, warn
from alignlab.worlds import exact


def run_exact(settings: ExactConfig, folder: Path, *, seed: int, overrides: Sequence[str] = ()) -> None:
    """Train all cases, print a table, write `exact.html` and `exact.json`."""
    chosen = next((item for item in overrides if item.lstrip("+").startswith(("algo=", "algo."))), None)
    if chosen:
        raise ConfigError(
            f"{chosen} chooses nothing: experiment=exact trains every method",
            "choose by exact.methods=[dpo,ipo]",
        )
    found = cases(settings)
    wanted, absent = ([c for c in found if bool(c.why_not) is refused] for refused in (False, True))
    if not wanted:
        raise ConfigError(f"nothing to train: {absent[0].name} {absent[0].why_not}", "choose other exact.methods")
    say(f"{len(wanted)} ways of training on the exact world")
    order = {case.name: place for place, case in enumerate(wanted)}
    outcomes, failed = [], []
    for number, (case, outcome) in enumerate(_all(wanted, settings, seed), 1):
        if isinstance(outcome, Outcome):
            outcomes.append(outcome)
            say(f"  {number}/{len(wanted)} {case.name}: {outcome.verdict}, {outcome.seconds:.1f} s", style="dim")
        else:
            failed.append(Case(case.name, case.method, why_not=f"failed: {outcome}"))
            warn(f"{case.name} failed: {outcome}")
    outcomes.sort(key=lambda each: (each.figures.gap > 1e-9, round(each.figures.gap, 6), order[each.case.name]))
    world = exact.population(on_policy=settings.on_policy)
    show(outcomes, [*failed, *absent], settings)
    with disk_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write_json(folder / "exact.json", {"schema": 1, "methods": [asdict(each) for each in outcomes]})
        atomic_write_text(folder / "exact.html", page(outcomes, [*failed, *absent], world, settings, seed))
    say(f"page: {folder / 'exact.html'}")


def _all(wanted: Sequence[Case], settings: ExactConfig, seed: int) -> Iterator[tuple[Case, Outcome | str]]:
    """Each case with what came of it, or with why nothing did, as they are done."""
    processes = min(settings.processes or os.cpu_count() or 1, len(wanted))
    if processes == 1:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        for case in wanted:
            yield case, _one(case, settings, seed)
        torch.set_num_threads(before)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        jobs = {pool.submit(_one, case, settings, seed): case for case in wanted}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _one(case: Case, settings: ExactConfig, seed: int) -> Outcome | str:
    """A plugin that fails here is no reason to keep the others from it."""
    try:
        return train(case, settings, seed)
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
