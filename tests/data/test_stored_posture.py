"""Stored sources as places that goals come from, and attacks on harmful prompts that completions are sampled for."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from alignlab.attacks.kinds import default_kinds
from alignlab.data.config import FilesConfig
from alignlab.data.schema import Split
from alignlab.data.sources import files_source
from alignlab.errors import ConfigError, DataError
from alignlab.seeding import Seeds

SEEDS = Seeds(0)


def table(count=120, kind=("benign", "harmful")):
    return [
        {"prompt": f"question {i}", "chosen": f"yes {i}", "rejected": f"no {i}", "kind": kind[i % len(kind)]}
        for i in range(count)
    ]


def source(tmp_path, rows, **settings):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files_source(FilesConfig(path=str(path), **({"text_as": "user", "evaluation": 0.3} | settings)))


def test_goals_are_the_harmful_prompts_of_a_split(tmp_path):
    made = source(tmp_path, table(), evaluation_prompts=3)
    for split in Split:
        stored = {pair.prompt.id for pair in made.pairs(split) if pair.prompt.kind == "harmful"}
        assert {goal.id for goal in made.goals(split)} == stored
    assert len(made.goals(Split.EVALUATION)) > 3
    assert {goal.kind for goal in made.goals(Split.EVALUATION, "benign")} == {"benign"}
    assert source(tmp_path, table(kind=("benign",))).goals(Split.EVALUATION) == []


def test_attempts_and_kinds(tmp_path):
    made = source(tmp_path, table())
    goal = made.goals(Split.EVALUATION)[0]
    tried = made.attempts(goal, 200, list(made.attack_kinds))
    assert {one.attack for one in tried} == {kind.replace("direct", "") for kind in default_kinds()}
    assert {one.base for one in tried} == {goal.base}
    assert made.attacker == "text"


def test_what_training_met_is_known_for_what_was_asked_only(tmp_path):
    known = {kind: seen for kind, seen in source(tmp_path, table()).attack_kinds.items() if seen is not None}
    assert known == {"direct": True}
    assert source(tmp_path, table(), attacks=["base64"]).attack_kinds["base64"] is True
    assert source(tmp_path, table(kind=("benign",))).attack_kinds["direct"] is None


def test_verbatim_text_is_not_attacked_and_that_is_said(tmp_path):
    made = source(tmp_path, table(), text_as="text")
    harmful = sum(pair.prompt.kind == "harmful" for pair in made.pairs(Split.EVALUATION))
    assert made.goals(Split.EVALUATION) == []
    assert f"  {harmful} harmful prompts are verbatim text and not attacked: see data.text_as=user" in made.notes
    with pytest.raises(DataError, match=r"is verbatim text.*\n.*data.text_as=user"):
        source(tmp_path, table(), text_as="text", attacks=["base64"]).prompts(Split.TRAIN, SEEDS)


def test_attacks_meet_harmful_training_prompts_and_nothing_else(tmp_path):
    plain, made = source(tmp_path, table()), source(tmp_path, table(), attacks=["direct", "base64", "rot13"])
    before, after = plain.prompts(Split.TRAIN, SEEDS), made.prompts(Split.TRAIN, SEEDS)
    assert [one.base for one in before] == [one.base for one in after]
    assert all(one == other for one, other in zip(before, after, strict=True) if one.kind == "benign")
    counts = Counter(one.attack for one in after if one.kind == "harmful")
    assert set(counts) == {"", "base64", "rot13"}
    for split in (Split.HELD_OUT, Split.VALIDATION, Split.EVALUATION):
        assert plain.prompts(split, SEEDS) == made.prompts(split, SEEDS)
    assert plain.pairs(Split.TRAIN) == made.pairs(Split.TRAIN)
    assert plain.demonstrations(SEEDS) == made.demonstrations(SEEDS)
    assert any("data.attacks" in line for line in made.notes)


def test_attacks_are_a_function_of_seed_and_prompt(tmp_path):
    made = source(tmp_path, table(), attacks=["base64", "rot13", "persuasion"])
    rows = made.prompts(Split.TRAIN, SEEDS)
    assert rows == made.prompts(Split.TRAIN, Seeds(0, {"data": 5}))
    assert rows != made.prompts(Split.TRAIN, Seeds(1))
    turned = source(tmp_path, table()[::-1], attacks=["persuasion", "rot13", "base64"]).prompts(Split.TRAIN, SEEDS)
    assert {one.id for one in turned} == {one.id for one in rows}


def test_fingerprint_changes_only_when_attacks_are_set(tmp_path):
    first = source(tmp_path, table()).fingerprint()
    assert source(tmp_path, table(), attacks=[]).fingerprint() == first
    other = source(tmp_path, table(), attacks=["base64", "rot13"]).fingerprint()
    assert other != first
    assert source(tmp_path, table(), attacks=["rot13", "base64"]).fingerprint() == other


def test_attacks_without_harmful_prompts_or_of_another_world(tmp_path):
    with pytest.raises(DataError, match=r"no training prompt of .* is of kind 'harmful'\n.*add a column kind"):
        source(tmp_path, table(kind=("benign",)), attacks=["base64"]).prompts(Split.TRAIN, SEEDS)
    with pytest.raises(ConfigError, match=r"data.attacks: the attack 'pressure' is written for .* desk world"):
        source(tmp_path, table(), attacks=["pressure"])
