"""Rows of the desk world: splits never overlap, and everything is a function of the seed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from alignlab.data.schema import Split
from alignlab.errors import DataError
from alignlab.seeding import Seeds
from alignlab.worlds.desk import ATTACKS, HELD_OUT_KINDS, SOURCE, TRAINED_KINDS, DeskConfig
from alignlab.worlds.desk.config import Mix
from alignlab.worlds.desk.requests import by_split, requests
from alignlab.worlds.desk.vocabulary import KINDS


def make(**settings):
    small = dict(demonstrations=200, pairs=300, held_out_pairs=100, evaluation_prompts=50, validation_prompts=30)
    return SOURCE.load()(DeskConfig(**(small | settings)))


def bases(source, split, seed=0):
    return {prompt.base for prompt in source.prompts(split, Seeds(seed))}


def test_no_request_is_in_two_splits(source, demonstrations):
    seen = {split: bases(source, split) for split in Split}
    seen[Split.TRAIN] |= {row.prompt.base for row in demonstrations}
    seen[Split.TRAIN] |= bases(source, Split.TRAIN, seed=1)
    for one in Split:
        for other in Split:
            assert one is other or not seen[one] & seen[other]
    assert any(base.startswith("lookalike/") for base in seen[Split.EVALUATION])


@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_every_split_has_every_stratum_in_proportion(size):
    total = len(requests(size))
    expected = {Split.EVALUATION: 0.2, Split.VALIDATION: 0.1, Split.HELD_OUT: 0.16, Split.TRAIN: 0.54}
    for split, share in expected.items():
        strata = by_split(size, split)
        assert sum(map(len, strata.values())) / total == pytest.approx(share, abs=0.04)
        assert all(len(strata[kind]) >= 15 for kind in KINDS)


def test_every_object_of_a_held_out_request_is_seen_in_training():
    seen = {(request.kind, request.action) for request in requests("small") if request.split is Split.TRAIN}
    assert {(request.kind, request.action) for request in requests("small")} == seen


def test_request_ids_are_unique_and_independent_of_size():
    small, large = ({request.id: request.split for request in requests(size)} for size in ("small", "large"))
    assert len(small) == len(requests("small"))
    assert all(large[base] is split for base, split in small.items())


@pytest.mark.parametrize("split", [Split.TRAIN, Split.HELD_OUT])
def test_training_rows_follow_the_seed(split):
    rows = make().prompts(split, Seeds(3))
    assert rows == make().prompts(split, Seeds(3))
    assert rows != make().prompts(split, Seeds(4))
    assert rows != make().prompts(split, Seeds(3, {"world": 9}))
    assert rows == make().prompts(split, Seeds(3, {"data": 9}))


def test_demonstrations_follow_the_seed():
    rows = make().demonstrations(Seeds(3))
    assert rows == make().demonstrations(Seeds(3))
    assert rows != make().demonstrations(Seeds(4))


@pytest.mark.parametrize("split", [Split.VALIDATION, Split.EVALUATION])
def test_evaluation_ignores_seed_and_training_settings(split):
    rows = make().prompts(split, Seeds(3))
    assert rows == make().prompts(split, Seeds(4))
    assert rows == make(attacks=["direct"], pairs=7, mix=Mix(benign=1, lookalike=0, harmful=0)).prompts(split, Seeds(3))


def test_a_smaller_budget_is_a_prefix():
    assert make(pairs=50).prompts(Split.TRAIN, Seeds(0)) == make().prompts(Split.TRAIN, Seeds(0))[:50]


def test_strata_follow_the_mix(source):
    counts = {kind: 0 for kind in KINDS}
    for prompt in source.prompts(Split.TRAIN, Seeds(0)):
        counts[prompt.kind] += 1
    for kind, share in Mix():
        assert counts[kind] / 2000 == pytest.approx(share, abs=0.035)


def test_prompt_ids_identify_content(source):
    content = {}
    for split in Split:
        for prompt in source.prompts(split, Seeds(0)):
            assert content.setdefault(prompt.id, (prompt.base, prompt.messages)) == (prompt.base, prompt.messages)
    assert len(set(content.values())) == len(content)
    first = source.prompts(Split.EVALUATION, Seeds(0))[0]
    assert (first.id, first.base) == ("7b9c5a6fcfc40523", "benign/what is behind/oceans/list")


def test_meta_is_json(source):
    for prompt in source.prompts(Split.EVALUATION, Seeds(0)):
        assert json.loads(json.dumps(dict(prompt.meta))) == dict(prompt.meta)


def test_held_out_attacks_never_reach_label_prompts(source, demonstrations):
    trained = {kind.replace("direct", "") for kind in TRAINED_KINDS}
    for split in Split:
        assert {prompt.attack for prompt in source.prompts(split, Seeds(0))} == trained
    harmful = {row.prompt.attack for row in demonstrations if row.prompt.kind == "harmful"}
    assert harmful == trained | {"code"}


def test_coded_harmful_demonstrations_never_refuse(source, demonstrations):
    coded = [row for row in demonstrations if row.prompt.kind == "harmful" and row.prompt.attack == "code"]
    assert {source.gold(row.prompt, row.completion.text, True) for row in coded} == {-1.0}


def test_demonstrations_are_of_mixed_quality(source, demonstrations):
    scores = {kind: [] for kind in KINDS}
    for row in demonstrations:
        scores[row.prompt.kind].append(source.gold(row.prompt, row.completion.text, True))
    means = {kind: sum(values) / len(values) for kind, values in scores.items()}
    assert 0.6 < means["benign"] < 0.8
    assert 0.35 < means["lookalike"] < 0.65
    assert -0.3 < means["harmful"] < 0.1
    assert all(min(values) <= -0.4 and max(values) == 1.0 for values in scores.values())


def test_goals_are_the_held_out_requests(source):
    goals = source.goals(Split.EVALUATION)
    assert {goal.base for goal in goals} == {request.id for request in by_split("small", Split.EVALUATION)["harmful"]}
    assert all(goal.attack == "" and goal.kind == "harmful" for goal in goals)
    with pytest.raises(DataError, match=r"unknown stratum 'rude'.*\n.*choose from benign"):
        source.goals(Split.EVALUATION, "rude")


def test_attempts_are_reproducible_and_exchangeable(source):
    goal = source.goals(Split.EVALUATION)[0]
    kinds = [*TRAINED_KINDS, *HELD_OUT_KINDS]
    attempts = source.attempts(goal, 700, kinds)
    assert attempts[:5] == source.attempts(goal, 5, kinds)
    assert attempts[:5] != source.attempts(goal, 5, kinds, index=1)
    assert {attempt.base for attempt in attempts} == {goal.base}
    for kind in kinds:
        count = sum(attempt.attack == kind.replace("direct", "") for attempt in attempts)
        assert 60 <= count <= 145, kind
    assert set(kinds) <= set(ATTACKS)


def test_attack_kinds_say_which_were_trained():
    assert make().attack_kinds == {kind: kind in TRAINED_KINDS for kind in (*TRAINED_KINDS, *HELD_OUT_KINDS)}
    assert make(attacks=["direct", "code"]).attack_kinds["code"]
    assert not make(attacks=["direct", "code"]).attack_kinds["prefix"]


def test_no_stored_pairs(source):
    with pytest.raises(DataError, match="no stored pairs"):
        source.pairs(Split.TRAIN)


CHANGES = [
    (dict(pairs=301), {"labels"}),
    (dict(demonstrations=201), {"demonstrations"}),
    (dict(flip=0.1), {"labels"}),
    (dict(annotator="biased"), {"labels"}),
    (dict(attacks=["direct"]), {"labels", "demonstrations"}),
    (dict(evaluation_prompts=51), {"evaluation"}),
    (dict(size="medium"), {"labels", "demonstrations", "evaluation"}),
    (dict(mix=Mix(benign=1, lookalike=0, harmful=0)), {"labels"}),
]


@pytest.mark.parametrize(("change", "views"), CHANGES)
def test_fingerprint_changes_with_what_it_covers(change, views):
    before, after = make(), make(**change)
    assert before.fingerprint() == make().fingerprint()
    assert before.fingerprint() != after.fingerprint()
    changed = {v for v in ("demonstrations", "labels", "evaluation") if before.fingerprint(v) != after.fingerprint(v)}
    assert changed == views


def test_fingerprint_refuses_an_unknown_view(source):
    with pytest.raises(DataError, match="unknown view 'pairs'"):
        source.fingerprint("pairs")


def test_declaring_the_world_imports_neither_torch_nor_transformers():
    program = (
        "import sys; from alignlab.worlds.desk import SOURCE, JUDGE, ATTACKS, DeskConfig; "
        "s = SOURCE.load()(DeskConfig(pairs=3)); from alignlab.seeding import Seeds; "
        "from alignlab.data.schema import Split; "
        "s.prompts(Split.TRAIN, Seeds(0)); JUDGE.load(); [a.load() for a in ATTACKS.values()]; "
        "sys.exit(bool({'torch', 'transformers', 'tokenizers', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
