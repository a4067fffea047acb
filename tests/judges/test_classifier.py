"""The judge that learns from labels: words, hidden states, what it refuses, and chance where labels say nothing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from labelled_replies import SAID, plain_file, replies
from omegaconf import OmegaConf

from alignlab.data.schema import Verdict
from alignlab.errors import ConfigError, DataError
from alignlab.judges import kinds, labels
from alignlab.judges.check.agreement import agreement
from alignlab.judges.check.folds import held_out
from alignlab.judges.kinds import ClassifierConfig, Features
from alignlab.models.config import TinyModel
from alignlab.models.load import new_model
from alignlab.models.policy import Policy
from alignlab.worlds.desk.tokenizer import build


@pytest.fixture
def make() -> Any:
    pytest.importorskip("sklearn", reason="needs alignlab[judges]")
    from alignlab.judges.classifier import classifier_judge

    return classifier_judge


@pytest.mark.parametrize("given", [{}, {"characters": True}, {"prompt": True, "opening": 0}, {"balanced": True}])
def test_it_learns_what_words_say(given: dict[str, Any], make: Any, tmp_path: Path) -> None:
    rows = replies()
    config = ClassifierConfig(labels=[plain_file(tmp_path / "rows.jsonl", rows)], **given)
    judge = make(config)
    prompts = [row.prompt for row in rows[:3]]
    assert judge(prompts, [f"{said} again" for said in SAID.values()]) == [*SAID]
    assert judge([], []) == []
    again = make(config, rows=labels.read(config.labels))
    texts = [f"{word} part" for said in SAID.values() for word in said.split()]
    assert again([prompts[0]] * len(texts), texts) == judge([prompts[0]] * len(texts), texts)


def test_held_out_it_finds_verdicts_that_are_in_the_words_and_chance_where_labels_are_shuffled(make: Any) -> None:
    rows, config = replies(120), ClassifierConfig()
    found = agreement(rows, held_out(rows, rows, lambda part: make(config, rows=part)))
    assert found["kappa"] > 0.95
    verdicts = [row.verdict for row in rows]
    random.Random(1).shuffle(verdicts)
    shuffled = [row._replace(verdict=verdict) for row, verdict in zip(rows, verdicts, strict=True)]
    chance = agreement(shuffled, held_out(shuffled, shuffled, lambda part: make(config, rows=part)))
    assert abs(chance["kappa"]) < 0.2  # standard error about 0.04, and folds share labels
    assert chance["accuracy"] < 0.5


def test_one_verdict_teaches_nothing(make: Any) -> None:
    rows = [row for row in replies() if row.verdict is Verdict.REFUSED]
    with pytest.raises(DataError, match="show 1 of three verdicts"):
        make(ClassifierConfig(), rows=rows)


def test_hidden_states_of_a_model(make: Any) -> None:
    tokenizer = build("small")
    shape = TinyModel(hidden=16, layers=1, heads=2, intermediate=32, max_positions=32)
    policy = Policy(new_model(shape, tokenizer, 3)).eval()
    rows = replies()
    words = {Verdict.REFUSED: "sorry", Verdict.PARTIAL: "thanks", Verdict.COMPLIED: "it has water ."}
    rows = [row._replace(text=words[row.verdict]) for row in rows]
    given = {"device": "cpu", "policy": policy, "tokenizer": tokenizer, "template": "auto"}
    judge = make(ClassifierConfig(features=Features.hidden), rows=rows, **given)
    long = "it has water . " * 40  # longer than the context: cut, and judged all the same
    prompts = [row.prompt for row in rows[:4]]
    assert judge(prompts, [*words.values(), long]) == [*words, Verdict.COMPLIED]


def test_states_are_means_over_the_reply(make: Any) -> None:
    import torch

    from alignlab.judges.hidden import HiddenStates

    tokenizer = build("small")
    shape = TinyModel(hidden=16, layers=1, heads=2, intermediate=32, max_positions=64)
    policy = Policy(new_model(shape, tokenizer, 3)).eval()
    states = HiddenStates(policy, tokenizer)
    rows = replies(2)
    both = states([rows[0].prompt, rows[3].prompt], ["it has water .", "sorry"])
    start = states.encoder.prompt(rows[3].prompt)
    ids = [*start, tokenizer.convert_tokens_to_ids("sorry"), tokenizer.eos_token_id]
    with torch.no_grad():
        alone = policy.model.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0, len(start) :].mean(0)
    assert both[1] == pytest.approx(alone.double().numpy(), abs=1e-5)


def test_what_it_refuses_to_start_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="has no labels to learn from"):
        ClassifierConfig().check(None)
    with pytest.raises(ConfigError, match=r"judge\.features=tfidf reads none"):
        ClassifierConfig(path="somewhere")
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    config = ClassifierConfig(labels=[plain_file(tmp_path / "rows.jsonl", replies(3))])
    with pytest.raises(ConfigError, match=r"needs scikit-learn\n.*alignlab\[judges\]"):
        config.check(None)


def test_its_address_is_what_the_labels_say_wherever_they_lie(make: Any, tmp_path: Path) -> None:
    rows = replies(3)
    one, two = (
        ClassifierConfig(labels=[plain_file(tmp_path / name, rows)]) for name in ("one.jsonl", "elsewhere.jsonl")
    )
    other = ClassifierConfig(labels=[plain_file(tmp_path / "other.jsonl", rows[1:])])
    assert one.address() == two.address() != other.address()
    assert one.address() != ClassifierConfig(labels=one.labels, c=2.0).address()
    assert not ClassifierConfig().reads_policy
    assert ClassifierConfig(features=Features.hidden).reads_policy
    assert OmegaConf.structured(ClassifierConfig).c == 3.0
