"""What a finished run leaves behind, for each `keep=` and each kind of method; and that a second one is quick."""

from __future__ import annotations

import json

import pytest
from endtoend_runs import PPO, REWARD, RUN_FILES, SFT, Runs, Undisturbed

from alignlab.stages.store import Store


def policies(runs: Runs) -> list[str]:
    return [found.label for found in Store(runs.root / "store") if found.kind == "policy"]


def test_the_last_policy_is_kept(runs: Runs, undisturbed: Undisturbed) -> None:
    run = undisturbed(PPO)
    assert {path.name for path in run.folder.iterdir()} == RUN_FILES
    weights = run.folder / "model" / "model.safetensors"
    [stored] = run.store.glob(f"objects/policy-{run.result['fingerprints']['policy']}/model/model.safetensors")
    assert weights.samefile(stored), "a hard link takes no space"
    assert not list(run.store.glob("work/*")), "nothing is left of the work"


def test_no_policy_is_kept(runs: Runs, undisturbed: Undisturbed) -> None:
    run = runs([*PPO, "keep=none"])
    assert {path.name for path in run.folder.iterdir()} == RUN_FILES - {"model"}
    assert policies(runs) == ["SFT"]
    expected = undisturbed(PPO).bits
    assert run.bits == {name: value for name, value in expected.items() if name != "model/model.safetensors"}
    assert runs([*PPO, "keep=none"]).bits == run.bits


def test_the_best_policy_is_kept(runs: Runs) -> None:
    arguments = [*PPO, "keep=best", "trainer.snapshots=2", "algo.lr=0.01"]
    run = runs(arguments)
    artefact = next(found for found in Store(run.store) if found.label == "ppo, seed 0")
    selected = artefact.info["selected"]
    assert sorted(selected["scores"]) == ["000002", "000004"]
    assert selected["batches"] == int(max(selected["scores"], key=selected["scores"].get))
    assert run.result["run"]["selected"] == selected
    assert f"kept the policy after {selected['batches']} batches" in run.said
    assert set(artefact.files) == {f"model/{path.name}" for path in (run.folder / "model").iterdir()} | {"metrics.csv"}
    again = runs(arguments)
    assert again.steps == []
    assert again.bits == run.bits


def test_the_choice_follows_the_evaluation_stream(runs: Runs) -> None:
    """A choice made with other validation samples is another artefact, though the training is the same."""
    arguments = [*PPO, "keep=best", "trainer.snapshots=2"]
    first, other = runs(arguments), runs([*arguments, "streams.evaluation=7"])
    assert other.steps
    assert first.result["fingerprints"]["policy"] != other.result["fingerprints"]["policy"]


def test_scores_divided_by_their_spread_are_another_reward_model(runs: Runs) -> None:
    first, other = runs(PPO), runs([*PPO, "reward.scale=true"])
    assert first.artefact("sft") == other.artefact("sft")
    assert first.artefact("reward") != other.artefact("reward")


@pytest.mark.parametrize("algo", [PPO, SFT, REWARD], ids=lambda algo: algo[0])
def test_a_second_run_finds_everything(runs: Runs, undisturbed: Undisturbed, algo: list[str]) -> None:
    first = undisturbed(algo)
    second = runs(algo, str(first.store))
    assert second.steps == []
    assert f"found in the store: {algo[0][5:]}, seed 0" in second.said
    assert second.bits == first.bits


def test_a_reward_model_as_the_run_itself(undisturbed: Undisturbed) -> None:
    run = undisturbed(REWARD)
    assert {path.name for path in run.folder.iterdir()} == {"config.yaml", "metrics.csv", "model", "result.json"}
    assert run.result["run"]["method"] == "reward_model"
    assert {"accuracy", "calibration_error", "sft_mean", "sft_std"} <= set(run.result["health"])
    assert "samples.jsonl" not in run.printed, "there are none"


def test_sft_as_the_run_itself(undisturbed: Undisturbed) -> None:
    run = undisturbed(SFT)
    assert {path.name for path in run.folder.iterdir()} == RUN_FILES
    assert json.loads((run.folder / "result.json").read_text())["run"]["method"] == "sft"
    assert run.artefact("policy") != run.artefact("sft")
