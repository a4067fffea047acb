"""Numbers that are no longer finite stop a run with the step named; what was learned before is not lost."""

from __future__ import annotations

from functools import partial

import endtoend_hooks as hooks
import pytest
from endtoend_runs import DPO, PPO, SFT, Hook, Run, Runs, Undisturbed


def failed(run: Run, *texts: str) -> Run:
    assert run.wait() == 1, run.said
    [error] = [line for line in run.said.splitlines() if line.startswith("error: ")]
    for text in texts:
        assert text in error
    assert "Traceback" not in run.said
    assert not (run.folder / "result.json").exists()
    return run


@pytest.mark.parametrize("algo", [PPO, DPO, SFT], ids=lambda algo: algo[0])
def test_a_rate_that_is_far_too_high(runs: Runs, undisturbed: Undisturbed, algo: list[str]) -> None:
    runs.prepare(undisturbed(algo))
    name = algo[0].removeprefix("algo=")
    run = failed(runs.start([*algo, "algo.lr=1e30", "algo.max_grad_norm=1e30"]), f"error: {name}: ", "at update 1 of ")
    assert "remedy: lower algo.lr (now 1e+30)" in run.said


@pytest.mark.parametrize(
    ("algo", "injury", "where"),
    [
        (PPO, partial(hooks.no_number, "alignlab.plugins.ppo.module", "clipped_policy_loss", 5), "ppo: loss nan"),
        (DPO, partial(hooks.no_number, "alignlab.modules.objective", "PairObjective.__call__", 2), "dpo: loss nan"),
        (SFT, partial(hooks.no_number, "alignlab.plugins.sft.module", "SFTModule.objective", 2), "sft: loss nan"),
    ],
    ids=["ppo", "dpo", "sft"],
)
def test_a_loss_that_is_not_a_number(
    runs: Runs, undisturbed: Undisturbed, algo: list[str], injury: Hook, where: str
) -> None:
    runs.prepare(undisturbed(algo))
    update = 5 if algo is PPO else 2
    failed(runs.start([*algo, "trainer.checkpoint_seconds=0"], hooks=[injury]), where, f"at update {update} of ")
    after = runs(algo)
    assert len(after.steps) < len([step for step in undisturbed(algo).steps if step.startswith(algo[0][5:])])
    assert after.bits == undisturbed(algo).bits
