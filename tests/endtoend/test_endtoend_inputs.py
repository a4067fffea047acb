"""Models and data that a person brings along: what works from them, and what is said where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from endtoend_runs import DPO, SFT, Runs
from small import llama

from alignlab.worlds.desk.tokenizer import build


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model directory with the desk world's tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = build("small")
    import torch

    llama(dtype=torch.float32, vocab_size=len(tokenizer), max_position_embeddings=128).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def brought(model: Path, data: Path) -> list[str]:
    """Overrides for a model directory and a file, with the settings of the embedded world taken out."""
    return [
        "model=hf",
        f"model.path={model}",
        "data=files",
        f"data.path={data}",
        "overlap=false",
        "trainer.log_every=1",
        "rollout.max_new_tokens=8",
        "stages.reward.epochs=1",
    ]


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pairs(path: Path) -> Path:
    words = ["salt", "waves", "ships", "fish"]
    rows = [
        {"prompt": f"tell me about oceans {words[i % 4]} {i} ?", "chosen": words[i % 4], "rejected": words[(i + 1) % 4]}
        for i in range(40)
    ]
    return write(path, rows)


def test_a_method_that_starts_from_nothing_leaves_the_shared_base_alone(runs: Runs) -> None:
    """Training another SFT as the method must not be what the baseline is trained from."""
    other = runs([*SFT, "algo.epochs=2"], "one")
    plain = runs([*SFT, "algo.epochs=1"], "two")
    assert other.artefact("sft") == plain.artefact("sft")
    assert other.result["fingerprints"]["policy_content"] != plain.result["fingerprints"]["policy_content"]


@pytest.mark.slow
def test_a_model_that_is_fine_tuned_already_is_the_reference(
    runs: Runs, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("endtoend_runs.TINY", [])
    settings = [*brought(model, pairs(tmp_path / "pairs.jsonl")), *DPO, "stages.sft=null"]
    run = runs(settings)
    assert not any(step.startswith("SFT") for step in run.steps)
    assert run.result["metrics"]["eval/kl"] > 0


@pytest.mark.slow
def test_demonstrations_alone_are_enough_for_sft(
    runs: Runs, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("endtoend_runs.TINY", [])
    rows = [{"prompt": f"tell me about oceans {i} ?", "completion": "salt and waves"} for i in range(40)]
    run = runs([*brought(model, write(tmp_path / "demo.jsonl", rows)), *SFT, "stages.sft.epochs=1"])
    assert "eval/proxy" not in run.result["metrics"]
    assert run.result["costs"]["labels"] == 0
    assert (run.folder / "model" / "model.safetensors").is_file()


def test_demonstrations_alone_are_refused_by_a_method_that_compares(
    runs: Runs, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("endtoend_runs.TINY", [])
    rows = [{"prompt": f"tell me about oceans {i} ?", "completion": "salt and waves"} for i in range(40)]
    run = runs.start([*brought(model, write(tmp_path / "demo.jsonl", rows)), *DPO])
    assert run.wait() == 2
    assert "dpo needs preferences, and data=files holds only demonstrations, prompts" in run.said
    assert not run.steps
    assert not run.folder.exists()


def test_reward_models_that_only_evaluation_needs_can_be_left_out(runs: Runs) -> None:
    run = runs([*DPO, "evaluation.reward_models=false"])
    assert not any("reward" in step for step in run.steps)
    assert "eval/proxy" not in run.result["metrics"]
    assert "eval/gold" in run.result["metrics"]


def test_a_value_model_cannot_start_from_a_reward_model_that_is_not_there(runs: Runs) -> None:
    run = runs.start(["algo=ppo", "algo.steps=1", "algo.batch_size=8", "reward=gold", "algo.value_init=reward"])
    assert run.wait() == 2
    assert "algo.value_init=reward needs a reward model, and reward=gold is none" in run.said
