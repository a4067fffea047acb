"""A run killed at any moment goes on from its last checkpoint and ends with the bits of one left alone."""

from __future__ import annotations

import random
import signal
from functools import partial

import endtoend_hooks as hooks
import pytest
from endtoend_runs import DPO, PPO, REWARD, SFT, Hook, Run, Runs, Undisturbed

ADAPTIVE = [*PPO, "algo.kl_target=1.0", "algo.kl_horizon=20"]
ALWAYS = "trainer.checkpoint_seconds=0"
NEVER = "trainer.checkpoint_seconds=1000"


def killed(runs: Runs, arguments: list[str], *injuries: Hook) -> Run:
    run = runs.start(arguments, hooks=injuries)
    assert run.wait() == -signal.SIGKILL
    return run


def at(stage: str, step: int, when: str = "on_train_batch_start") -> Hook:
    return partial(hooks.at_step, (stage, step), hooks.kill, when=when)


def steps(run: Run, stage: str) -> list[int]:
    return [int(step.rpartition(":")[2]) for step in run.steps if step.startswith(stage)]


@pytest.mark.slow
def test_killed_in_every_stage(runs: Runs, undisturbed: Undisturbed) -> None:
    whole = undisturbed(ADAPTIVE)
    assert steps(whole, "SFT") == list(range(5))
    assert steps(whole, "reward model, ") == list(range(3))
    assert steps(whole, "ppo") == list(range(4))
    beta = [row.split(",")[-2] for row in (whole.folder / "metrics.csv").read_text().splitlines()]
    assert len(set(beta)) == 5, "a name and four values"
    arguments = [*ADAPTIVE, ALWAYS]
    assert steps(killed(runs, arguments, at("SFT", 2)), "SFT") == [0, 1, 2]
    assert steps(killed(runs, arguments, at("SFT", 3, "on_train_batch_end")), "SFT") == [2, 3]
    assert killed(runs, arguments, at("reward model", 1)).steps[:2] == ["SFT:3", "SFT:4"]
    third = killed(runs, arguments, at("ppo", 2))
    assert (steps(third, "reward model"), steps(third, "ppo")) == ([1, 2, 3], [0, 1, 2])
    last = runs(arguments)
    assert steps(last, "ppo") == [2, 3]
    assert last.bits == whole.bits


def test_rows_written_after_the_checkpoint_are_not_there_twice(runs: Runs, undisturbed: Undisturbed) -> None:
    runs.prepare(undisturbed(ADAPTIVE))
    killed(runs, ADAPTIVE, partial(hooks.only_checkpoints_after, 1), at("ppo", 3, "on_train_batch_end"))
    [checkpoint] = runs.running[0].work
    assert len((checkpoint.parent / "metrics.csv").read_text().splitlines()) == 5
    last = runs(ADAPTIVE)
    assert steps(last, "ppo") == [2, 3]
    assert last.bits == undisturbed(ADAPTIVE).bits


def test_a_run_without_a_checkpoint_starts_its_stage_again(runs: Runs, undisturbed: Undisturbed) -> None:
    killed(runs, [*ADAPTIVE, NEVER], at("ppo", 3))
    last = runs([*ADAPTIVE, NEVER])
    assert last.steps == [f"ppo, seed 0:{step}" for step in range(4)] + [
        f"reward model, held-out labels:{step}" for step in range(3)
    ]
    assert last.bits == undisturbed(ADAPTIVE).bits


@pytest.mark.parametrize(("algo", "total"), [(DPO, 8), (SFT, 10), (REWARD, 8)], ids=["dpo", "sft", "reward_model"])
def test_methods_without_rollouts(runs: Runs, undisturbed: Undisturbed, algo: list[str], total: int) -> None:
    stage = algo[0].removeprefix("algo=")
    whole, arguments = undisturbed(algo), [*algo, ALWAYS]
    assert steps(whole, stage) == list(range(total))
    half = total // 2  # where one pass over the demonstrations ends
    assert steps(killed(runs, arguments, at(stage, half)), stage) == list(range(half + 1))
    assert steps(killed(runs, arguments, at(stage, total - 1, "on_train_batch_end")), stage) == list(range(half, total))
    last = runs(arguments)
    assert steps(last, stage) == [total - 1]
    assert last.bits == whole.bits


@pytest.mark.parametrize(
    ("place", "count", "left"),
    [
        ("alignlab.stages.training:durable_rename", 3, [2, 3]),  # a checkpoint is written and has no name yet
        ("alignlab.models.policy:Policy.save", 1, []),  # trained, and not yet stored
        ("alignlab.stages.store:durable_rename", 1, []),
    ],
)
def test_killed_while_writing(runs: Runs, undisturbed: Undisturbed, place: str, count: int, left: list[int]) -> None:
    whole = undisturbed(ADAPTIVE)
    runs.prepare(whole)
    killed(runs, [*ADAPTIVE, ALWAYS], partial(hooks.at_call, place, hooks.kill, count))
    last = runs([*ADAPTIVE, ALWAYS])
    assert last.steps == [f"ppo, seed 0:{step}" for step in left]
    assert last.bits == whole.bits


@pytest.mark.slow
def test_killed_at_random_moments(runs: Runs, undisturbed: Undisturbed) -> None:
    whole = undisturbed(ADAPTIVE)
    moments = random.Random(0)
    for _ in range(6):
        run = runs.start([*ADAPTIVE, ALWAYS])
        run.process.join(moments.uniform(0.4, 1.6))
        run.process.kill()
        run.wait()
    assert runs([*ADAPTIVE, ALWAYS]).bits == whole.bits


@pytest.mark.parametrize("harm", ["cut", "flipped"])
def test_a_damaged_checkpoint_is_set_aside(runs: Runs, undisturbed: Undisturbed, harm: str) -> None:
    runs.prepare(undisturbed(ADAPTIVE))
    run = killed(runs, [*ADAPTIVE, ALWAYS], at("ppo", 2))
    [checkpoint] = run.work
    content = bytearray(checkpoint.read_bytes())
    middle = len(content) // 2
    content[middle] ^= 1
    checkpoint.write_bytes(content[:middle] if harm == "cut" else content)
    last = runs([*ADAPTIVE, ALWAYS])
    assert "last.ckpt cannot be read" in last.said
    assert "moved to last.damaged, starting again" in last.said
    assert steps(last, "ppo") == [0, 1, 2, 3]
    assert last.bits == undisturbed(ADAPTIVE).bits
