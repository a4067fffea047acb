"""Ctrl-C and SIGTERM: what is kept, what is said, and that nothing is left running."""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path

import endtoend_hooks as hooks
import pytest
from endtoend_runs import DPO, PPO, SFT, Hook, Run, Runs, Undisturbed

from alignlab.stages.lock import held
from alignlab.stages.store import Store

LATER = "the same command goes on"


def stopped(run: Run, code: int) -> Run:
    """Wait for an exit that people can read, and a sound store."""
    assert run.wait() == code, run.said
    assert "Traceback" not in run.said, run.said
    assert Store(run.store).verify() == []
    assert not (run.folder / "result.json").exists()
    return run


def raised(stage: str, step: int, *signals: int) -> Hook:
    return partial(hooks.at_step, (stage, step), partial(hooks.send, *signals))


@pytest.mark.parametrize(
    ("algo", "number", "code"),
    [(PPO, signal.SIGINT, 130), (PPO, signal.SIGTERM, 143), (DPO, signal.SIGINT, 130), (SFT, signal.SIGTERM, 143)],
    ids=["ppo, Ctrl-C", "ppo, SIGTERM", "dpo, Ctrl-C", "sft, SIGTERM"],
)
def test_one_signal_finishes_the_step(
    runs: Runs, undisturbed: Undisturbed, number: int, code: int, algo: list[str]
) -> None:
    whole = undisturbed(algo)
    runs.prepare(whole)
    first = stopped(runs.start(algo, hooks=[raised(algo[0].removeprefix("algo="), 1, number)]), code)
    assert "stopping after this step" in first.said
    assert ("Ctrl-C again" in first.said) == (number == signal.SIGINT)
    assert [step.rpartition(":")[2] for step in first.steps] == ["0", "1"]
    assert len(first.work) == 1
    second = runs(algo)
    assert second.steps[0].endswith(":2")
    assert second.bits == whole.bits


def test_a_second_ctrl_c_stops_at_once(runs: Runs, undisturbed: Undisturbed) -> None:
    whole = undisturbed(PPO)
    runs.prepare(whole)
    run = stopped(runs.start(PPO, hooks=[raised("ppo", 2, signal.SIGINT, signal.SIGINT)]), 130)
    assert LATER in run.said
    assert run.work == []
    assert runs(PPO).bits == whole.bits


@pytest.mark.parametrize(
    "place",
    [
        "alignlab.stages.scoring:_sft_scores",
        "alignlab.stages.evaluated:Evaluator._samples",
        "alignlab.run_folder:write_samples",
        "alignlab.stages.store:sync_tree",
    ],
)
def test_ctrl_c_outside_training(runs: Runs, undisturbed: Undisturbed, place: str) -> None:
    interrupt = partial(hooks.at_call, place, partial(hooks.send, signal.SIGINT))
    run = stopped(runs.start(PPO, hooks=[interrupt]), 130)
    assert run.said.splitlines()[-1] == "interrupted; the same command goes on where this one stopped"
    assert runs(PPO).bits == undisturbed(PPO).bits


def test_ctrl_c_works_again_after_a_stage(runs: Runs) -> None:
    """Training takes the signal over, and gives it back however it ends."""
    interrupt = partial(hooks.at_call, "alignlab.stages.evaluated:Evaluator._build", partial(hooks.send, signal.SIGINT))
    run = stopped(runs.start(PPO, hooks=[interrupt]), 130)
    assert "stopping after this step" not in run.said


def helper(run: Run) -> int | None:
    """The second process that a run has started."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == run.process.pid and b"alignlab.launch.background" in (entry / "cmdline").read_bytes():
                return int(entry.name)
        except (OSError, IndexError):
            continue
    return None


def ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("way", "early"), [("killed", True), ("killed", False), ("interrupted", False), ("failed", True)]
)
def test_no_second_process_is_left(runs: Runs, undisturbed: Undisturbed, way: str, early: bool) -> None:
    whole = undisturbed(PPO)
    [scorer] = [found.path.name for found in Store(whole.store) if found.label == "reward model, held-out labels"]
    runs.prepare(whole, lost=[scorer])
    log = runs.root / "run0" / "background.log"
    begun = partial(time.sleep, 0.3) if early else partial(hooks.wait_for_text, log, "waiting for reward model")
    injuries = {"killed": hooks.kill, "interrupted": partial(hooks.send, signal.SIGINT), "failed": hooks.spoil}
    actions = [partial(hooks.at_step, ("ppo", 1), act) for act in (injuries[way], begun)]  # the last one acts first
    with held(runs.root / "store" / "locks" / f"{scorer}.lock", "reward model", print):
        run = runs.start([*PPO, "overlap=true"], hooks=actions)
        second = run.until(helper)
        assert run.wait() == {"killed": -signal.SIGKILL, "interrupted": 130, "failed": 1}[way]
        end = time.monotonic() + 10
        while not ended(second):
            assert time.monotonic() < end, "the second process is still there"
            time.sleep(0.05)
