"""A reward model from a directory: which token it reads, whose tokens it sees, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rewards_doubles import DESK, PROMPTS, REPLIES, TURNS, classifier, letters, rollouts, stored

from alignlab.errors import ModelError
from alignlab.models.named import content
from alignlab.models.scorer import Scorer
from alignlab.rewards.directory import DirectoryReward
from alignlab.rewards.folder import check
from alignlab.rewards.kinds import DirectoryConfig
from alignlab.rewards.learned import LearnedReward


def reward(path: str) -> DirectoryReward:
    return DirectoryReward(DirectoryConfig(path=path), tokenizer=DESK, source=None, scorer=None)


@torch.no_grad()
def alone(model: Any, rows: list[list[int]]) -> list[float]:
    """Scores of unpadded rows, one by one, by the model's own forward pass."""
    return [float(model.eval()(input_ids=torch.tensor([row])).logits[0, 0]) for row in rows]


@pytest.mark.parametrize("own_pad", [True, False])
def test_a_scorer_of_the_store_scores_as_it_did_there(own_pad: bool, tmp_path: Path) -> None:
    end = DESK.eos_token_id  # as pad token, it must not hide the end of a reply
    scorer = Scorer(classifier("llama", len(DESK), DESK.pad_token_id if own_pad else end))
    scorer.calibrate(0.3, 2.0)
    scorer.save(tmp_path, DESK)
    given = rollouts((True, False, True))
    found = reward(str(tmp_path))
    torch.testing.assert_close(found.score(given, PROMPTS), LearnedReward(scorer=scorer).score(given, PROMPTS))
    assert found.notes == (f"reward.path={tmp_path} has the policy's vocabulary: token ids are scored as sampled",)


@pytest.mark.parametrize(("kind", "pad_id"), [("gpt2", 0), ("gpt2", None), ("llama", 0), ("bert", 0)])
def test_a_stranger_with_the_same_vocabulary_reads_the_sampled_ids(
    kind: str, pad_id: int | None, tmp_path: Path
) -> None:
    model = classifier(kind, len(DESK), pad_id)
    given = rollouts((True, False, True))
    rows = [prompt + reply for prompt, reply in given.sequences.split()]
    found = reward(stored(tmp_path, model, DESK)).score(given, PROMPTS)
    assert found.tolist() == pytest.approx(alone(model, rows), abs=1e-5)
    assert len({round(score, 4) for score in found.tolist()}) == 3


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_another_vocabulary_gets_the_text_under_its_own_template(kind: str, tmp_path: Path) -> None:
    own = letters()
    model = classifier(kind, len(own), own.pad_token_id)
    texts = [f"<|user|>{p.messages[0].content}<|bot|>{text}" for p, text in zip(PROMPTS, REPLIES, strict=True)]
    ended = (True, False, True)
    rows = [own(text + "<|end|>" * end)["input_ids"] for text, end in zip(texts, ended, strict=True)]
    found = reward(stored(tmp_path, model, own))
    assert found.score(rollouts(ended), PROMPTS).tolist() == pytest.approx(alone(model, rows), abs=1e-5)
    assert "has another vocabulary: replies are decoded, and encoded again with its own chat template" in found.notes[0]


def test_without_a_chat_template_turns_are_plain(tmp_path: Path) -> None:
    own = letters(template=None)
    model = classifier("gpt2", len(own), own.pad_token_id)
    rows = [
        own(f"User: {p.messages[0].content}\n\nAssistant: {text}<|end|>")["input_ids"]
        for p, text in zip(PROMPTS, REPLIES, strict=True)
    ]
    found = reward(stored(tmp_path, model, own))
    assert found.score(rollouts(), PROMPTS).tolist() == pytest.approx(alone(model, rows), abs=1e-5)
    assert "plain turns, for it has no chat template" in found.notes[0]


def test_the_same_vocabulary_under_another_template_is_said(tmp_path: Path) -> None:
    own = letters(TURNS)
    path = stored(tmp_path, classifier("gpt2", len(own), own.pad_token_id), own)
    found = DirectoryReward(DirectoryConfig(path=path), tokenizer=letters(None))
    assert found.notes[0].endswith("under the policy's chat template, which is not its own")


def test_a_row_too_long_for_the_model_is_refused(tmp_path: Path) -> None:
    own = letters()
    found = reward(stored(tmp_path, classifier("gpt2", len(own), own.pad_token_id), own))
    given = rollouts(replies=["salt", "red " * 30, "songs"])
    with pytest.raises(
        ModelError, match=r"reads 96 tokens, and a prompt with its reply has 1\d\d\n  remedy: .*max_new"
    ):
        found.score(given, PROMPTS)


def test_nothing_is_trained_and_nothing_enters_checkpoints(tmp_path: Path) -> None:
    found = reward(stored(tmp_path, classifier("gpt2", len(DESK), 0), DESK))
    assert not list(found.parameters())
    assert not found.state_dict()
    assert not found.score(rollouts(), PROMPTS).requires_grad


def test_content_identifies_it_and_its_place_does_not(tmp_path: Path) -> None:
    path = stored(tmp_path / "one", classifier("gpt2", len(DESK), 0), DESK)
    shutil.copytree(path, tmp_path / "two")
    (tmp_path / "two" / "README.md").write_text("notes")
    address = DirectoryConfig(path=path).address()
    assert address == DirectoryConfig(path=str(tmp_path / "two")).address() == {"files": content(path)}
    weights = tmp_path / "two" / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert DirectoryConfig(path=str(tmp_path / "two")).address() != address


def no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def edit_config(folder: Path, **changes: Any) -> None:
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))


def as_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("x")


FAULTS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "absent": (shutil.rmtree, r"does not exist", "save_pretrained wrote"),
    "file": (as_file, r"is a file, not a directory", "save_pretrained wrote"),
    "empty": (
        lambda f: (f / "config.json").unlink(),
        r"is no model directory: it has no config\.json",
        "save_pretrained",
    ),
    "pickled": (
        lambda f: (f / "model.safetensors").rename(f / "model.bin"),
        r"holds pickled weights \(model\.bin\), which can run code",
        "convert them",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), r"holds no \*\.safetensors weights", "complete model"),
    "no tokenizer": (no_tokenizer, r"holds no tokenizer", r"tokenizer\.save_pretrained"),
    "two labels": (lambda f: edit_config(f, id2label={"0": "a", "1": "b"}), r"has 2 labels", "num_labels=1"),
    "labels not said": (lambda f: edit_config(f, id2label={}), r"has 0 labels", "num_labels=1"),
    "language model": (
        lambda f: edit_config(f, architectures=["GPT2LMHeadModel"]),
        r"holds GPT2LMHeadModel, not a reward model",
        "…ForSequenceClassification",
    ),
    "no architecture": (
        lambda f: edit_config(f, architectures=None),
        r"holds a model of no stated architecture",
        "names",
    ),
    "not json": (
        lambda f: (f / "config.json").write_text("{"),
        r"has a config\.json that is not valid",
        "restore",
    ),
    "a list": (
        lambda f: (f / "config.json").write_text("[1]"),
        r"has a config\.json that is not valid",
        "restore",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_reward_model_is_named_with_its_remedy(fault: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    stored(folder, classifier("gpt2", len(DESK), 0), DESK)
    damage, message, remedy = FAULTS[fault]
    damage(folder)
    with pytest.raises(ModelError, match=rf"^reward\.path='{folder}' {message}(.|\n)*remedy: .*{remedy}"):
        DirectoryConfig(path=str(folder)).check(None)


def test_a_whole_directory_passes_and_a_broken_file_is_named_when_loaded(tmp_path: Path) -> None:
    path = stored(tmp_path, classifier("gpt2", len(DESK), 0), DESK)
    check(path)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match=rf"reward\.path='{tmp_path}' could not be loaded: "):
        reward(path)
