"""The same configuration and seed give the same bits, whatever is in the cache and whoever computed it."""

from __future__ import annotations

import json
import shutil
from functools import partial

import endtoend_hooks
import pytest
from endtoend_runs import DPO, PPO, REWARD, SFT, Run, Runs, Undisturbed

STAGES = ("sft", "preferences", "reward", "policy", "evaluation")


@pytest.mark.parametrize("algo", [PPO, DPO, SFT, REWARD], ids=lambda algo: algo[0])
def test_a_fresh_store_gives_the_same_bits(runs: Runs, undisturbed: Undisturbed, algo: list[str]) -> None:
    assert runs(algo).bits == undisturbed(algo).bits


@pytest.mark.parametrize("algo", [PPO, DPO], ids=lambda algo: algo[0])
def test_another_seed_gives_others(runs: Runs, undisturbed: Undisturbed, algo: list[str]) -> None:
    first, other = undisturbed(algo).bits, runs([*algo, "seed=1"]).bits
    assert [
        name for name in ("metrics.csv", "samples.jsonl", "model/model.safetensors") if first[name] == other[name]
    ] == []


def test_a_seed_may_share_the_stages_of_another(runs: Runs, undisturbed: Undisturbed) -> None:
    first, other = undisturbed(PPO), runs([*PPO, "seed=1", "stage_seed=0"])
    assert changed(first, other) == ["policy", "evaluation"]


def contents(run: Run) -> dict[str, str]:
    return {stage: run.artefact(stage) for stage in STAGES}


def changed(first: Run, other: Run) -> list[str]:
    before, after = contents(first), contents(other)
    return [stage for stage in STAGES if before[stage] != after[stage]]


@pytest.mark.parametrize(
    ("stream", "moved"),
    [
        ("world", STAGES),
        ("init", STAGES),
        ("data", STAGES),
        ("labels", STAGES[1:]),
        ("rollout", ("policy", "evaluation")),
        ("evaluation", ("evaluation",)),
        ("dropout", ()),  # the tiny model drops nothing
    ],
)
def test_a_seed_stream_moves_what_it_names(
    runs: Runs, undisturbed: Undisturbed, stream: str, moved: tuple[str, ...]
) -> None:
    first, other = undisturbed(PPO), runs([*PPO, f"streams.{stream}=7"])
    assert changed(first, other) == list(moved)
    assert prompts(first) == prompts(other)


def prompts(run: Run) -> list[str]:
    lines = (run.folder / "samples.jsonl").read_text().splitlines()
    return [json.loads(line)["prompt"]["id"] for line in lines]


@pytest.mark.parametrize(("first", "second"), [(PPO, DPO), (DPO, PPO)], ids=["ppo then dpo", "dpo then ppo"])
def test_methods_share_stages_in_any_order(
    runs: Runs, undisturbed: Undisturbed, first: list[str], second: list[str]
) -> None:
    shutil.copytree(undisturbed(first).store, runs.root / "store")
    run = runs(second)
    assert {step.partition(":")[0] for step in run.steps} == {f"{second[0][5:]}, seed 0"}
    assert run.bits == undisturbed(second).bits


@pytest.mark.slow
def test_a_second_process_changes_no_bit(runs: Runs, undisturbed: Undisturbed) -> None:
    both = partial(endtoend_hooks.wait_for, runs.root / "store" / "objects", "evaluation-*")
    run = runs([*PPO, "overlap=true"], hooks=[partial(endtoend_hooks.at_step, ("ppo", 1), both)])
    assert not [step for step in run.steps if "held-out" in step]
    assert run.bits == undisturbed(PPO).bits
    assert not (run.folder / "background.log").exists()


def test_what_is_removed_from_the_store_comes_back(runs: Runs, undisturbed: Undisturbed) -> None:
    run = undisturbed(PPO)
    shutil.copytree(run.store, runs.root / "store")
    for path in (runs.root / "store" / "objects").glob("[!p]*"):
        shutil.rmtree(path)
    again = runs(PPO)
    assert {step.partition(":")[0] for step in again.steps} == {"reward model", "reward model, held-out labels"}
    assert again.bits == run.bits
