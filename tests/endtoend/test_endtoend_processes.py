"""Two processes of one command on one empty store: one computes, the other waits, both succeed."""

from __future__ import annotations

import pytest
from endtoend_runs import PPO, Runs, Undisturbed


@pytest.mark.parametrize("folders", [("a", "b"), ("a", "a")], ids=["two run directories", "one run directory"])
def test_two_at_once_compute_every_stage_once(runs: Runs, undisturbed: Undisturbed, folders: tuple[str, str]) -> None:
    both = [runs.start(PPO, folder=folder) for folder in folders]
    for run in both:
        run.done()
    assert sorted(both[0].steps + both[1].steps) == sorted(undisturbed(PPO).steps)
    assert any("waiting for" in run.said for run in both)
    assert [run.bits for run in both] == [undisturbed(PPO).bits] * 2


def test_two_methods_at_once_share_the_stages(runs: Runs, undisturbed: Undisturbed) -> None:
    from endtoend_runs import DPO

    ppo, dpo = runs.start(PPO), runs.start(DPO)
    ppo.done(), dpo.done()
    assert len(ppo.steps + dpo.steps) == len(set(ppo.steps + dpo.steps))
    assert ppo.bits == undisturbed(PPO).bits
    assert dpo.bits == undisturbed(DPO).bits


def test_one_run_directory_for_several_processes_at_once(runs: Runs, undisturbed: Undisturbed) -> None:
    """The default directory has the second in its name: two commands of a script may well meet in it."""
    store = undisturbed(PPO).store
    together = [runs.start(PPO, str(store), folder="same") for _ in range(6)]
    for run in together:
        run.done()
    assert together[0].bits == undisturbed(PPO).bits
