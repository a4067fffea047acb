"""Two processes, joined by gloo, train one model: equal weights, one log, exact resume, readable failures."""

from __future__ import annotations

import signal
import sys
from functools import partial

import endtoend_hooks as hooks
import pytest
from endtoend_runs import DPO, PPO, SFT, Run, Runs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs fork")
TWO = ["trainer.devices=2", "trainer.accelerator=cpu"]


def rows(run: Run) -> list[str]:
    return [line.split(",")[0] for line in (run.folder / "metrics.csv").read_text().splitlines()[1:]]


@pytest.mark.parametrize(("algo", "steps"), [(PPO, 4), (DPO, 8), (SFT, 10)], ids=["ppo", "dpo", "sft"])
def test_two_processes_hold_one_model(runs: Runs, algo: list[str], steps: int) -> None:
    name = algo[0].removeprefix("algo=")
    watch = partial(hooks.write_weights, runs.root / "weights", (name, steps - 1))
    run = runs([*algo, *TWO, "trainer.strategy=ddp_fork"], hooks=[watch])
    first, second = ((runs.root / f"weights.{rank}").read_text() for rank in (0, 1))
    assert first == second
    assert rows(run) == [str(step) for step in range(steps)]
    assert run.artefact("policy") != run.artefact("sft")
    assert run.said.count(f"{name}, seed 0  {steps}/{steps}") == 1, "one of them talks"
    assert "found in the store" not in run.said


def test_a_killed_run_goes_on(runs: Runs) -> None:
    arguments = [*PPO, *TWO, "trainer.checkpoint_seconds=0"]
    whole = runs(arguments, "whole")
    killed = runs.start(arguments, hooks=[partial(hooks.at_step, ("ppo", 2), partial(hooks.kill_parent))])
    assert killed.wait() == -signal.SIGKILL
    last = runs(arguments)
    assert min(int(step.rpartition(":")[2]) for step in last.steps if step.startswith("ppo")) >= 2
    assert last.bits == whole.bits


def test_a_failure_is_a_message(runs: Runs) -> None:
    run = runs.start([*SFT, *TWO, "algo.lr=1e30", "algo.max_grad_norm=1e30"])
    assert run.wait() == 1, run.said
    assert "error: sft: loss nan" in run.said, run.said
    assert "remedy: lower algo.lr" in run.said
    assert "Traceback" not in run.said
