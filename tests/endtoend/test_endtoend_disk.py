"""Full disks and folders that cannot be written: a message, exit code 1, no damage; and the next run completes."""

from __future__ import annotations

import shutil
from functools import partial

import endtoend_hooks as hooks
import pytest
from endtoend_runs import PPO, Run, Runs, Undisturbed

from alignlab.stages.store import Store

ALWAYS = [*PPO, "trainer.checkpoint_seconds=0"]


def refused(run: Run, text: str) -> Run:
    """Wait for a message with a remedy, and a sound store."""
    code = run.wait()
    assert code == 1, run.said
    [error] = [line for line in run.said.splitlines() if line.startswith("error: ")]
    assert text in error, run.said
    assert "  remedy: " in run.said
    assert "Traceback" not in run.said, run.said
    assert not run.store.is_dir() or Store(run.store).verify() == []
    return run


@pytest.mark.slow
def test_every_write_may_fail(runs: Runs, undisturbed: Undisturbed) -> None:
    """A failing write of a courtesy, such as who holds a lock, stops nothing; any other gives a message."""
    failures = 0
    for number in (1, 20, 60, 150):
        run = runs.start(ALWAYS, folder="run", hooks=[partial(hooks.fail_write, runs.root, number)])
        if run.process.join(60) or run.process.exitcode:
            refused(run, "No space left on device")
            failures += 1
        else:
            shutil.rmtree(runs.root / "store")
    assert failures >= 3
    assert runs(ALWAYS, folder="run").bits == undisturbed(PPO).bits


@pytest.mark.parametrize("folder", ["store", "run"])
def test_a_disk_that_stays_full(runs: Runs, undisturbed: Undisturbed, folder: str) -> None:
    if folder == "run":
        shutil.copytree(undisturbed(PPO).store, runs.root / "store")
    refused(
        runs.start(ALWAYS, folder="run", hooks=[partial(hooks.fail_write, runs.root / folder, 3, onwards=True)]),
        "No space left on device",
    )
    assert not (runs.root / "run" / "result.json").exists()
    assert runs(ALWAYS, folder="run").bits == undisturbed(PPO).bits


@pytest.mark.parametrize(("seconds", "size"), [(0, 60_000), (1000, 3_000), (1000, 20_000)])
def test_files_that_the_disk_cuts_off(runs: Runs, undisturbed: Undisturbed, seconds: int, size: int) -> None:
    """The libraries' own writers, which Python cannot intercept, meet a limit of the kernel."""
    arguments = [*PPO, f"trainer.checkpoint_seconds={seconds}"]
    refused(runs.start(arguments, folder="run", hooks=[partial(hooks.limit_files, size)]), "File too large")
    assert runs(ALWAYS, folder="run").bits == undisturbed(PPO).bits


@pytest.mark.parametrize("inside", ["", "/store"])
def test_a_store_that_is_a_file(runs: Runs, inside: str) -> None:
    (runs.root / "taken").write_text("mine")
    refused(runs.start(PPO, f"taken{inside}"), "taken")
    assert (runs.root / "taken").read_text() == "mine"


def test_a_run_directory_inside_a_file(runs: Runs) -> None:
    (runs.root / "taken").write_text("mine")
    run = runs.start(PPO, folder="taken/run")
    assert run.wait() == 1, run.said
    assert "taken" in run.said
    assert "Traceback" not in run.said
