"""Two processes of one command on one empty store: one computes, the other waits, both succeed."""

from __future__ import annotations

from functools import partial

import endtoend_hooks as hooks
import pytest
from endtoend_runs import DPO, PPO, RUN_FILES, Runs, Undisturbed


@pytest.mark.parametrize("folders", [("a", "b"), ("a", "a")], ids=["two run directories", "one run directory"])
def test_two_at_once_compute_every_stage_once(runs: Runs, undisturbed: Undisturbed, folders: tuple[str, str]) -> None:
    both = [runs.start(PPO, folder=folder) for folder in folders]
    for run in both:
        run.done()
    assert sorted(both[0].steps + both[1].steps) == sorted(undisturbed(PPO).steps)
    assert any("waiting for" in run.said for run in both)
    assert [run.bits for run in both] == [undisturbed(PPO).bits] * 2


def test_two_methods_at_once_share_the_stages(runs: Runs, undisturbed: Undisturbed) -> None:
    ppo, dpo = runs.start(PPO), runs.start(DPO)
    ppo.done(), dpo.done()
    assert len(ppo.steps + dpo.steps) == len(set(ppo.steps + dpo.steps))
    assert ppo.bits == undisturbed(PPO).bits
    assert dpo.bits == undisturbed(DPO).bits


def test_one_run_directory_for_two_finished_runs_at_once(runs: Runs, undisturbed: Undisturbed) -> None:
    """The default directory has the second in its name: two commands of a script may well meet in it."""
    store = str(undisturbed(PPO).store)
    runs(PPO, store, folder="same")
    pause = partial(hooks.wait_for, runs.root, "log2.done")
    slow = runs.start(PPO, store, folder="same", hooks=[partial(hooks.at_call, "os:rename", pause)])
    slow.until(lambda run: any(run.folder.glob(".model.*")))
    fast = runs(PPO, store, folder="same")
    (runs.root / "log2.done").touch()
    assert slow.done().bits == fast.bits == undisturbed(PPO).bits
    assert {path.name for path in slow.folder.iterdir()} == RUN_FILES
