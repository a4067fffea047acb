"""The posture stage on a tiny run of the desk world."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from support import TINY

from alignlab.compose import composed
from alignlab.config import typed
from alignlab.data.schema import Message, Verdict
from alignlab.data.tokens import Limits
from alignlab.errors import ConfigError
from alignlab.evaluation.posture import Attacked
from alignlab.stages.attacked import Attacker, read
from alignlab.stages.graph import Graph
from alignlab.work import Work

POSTURE = ("evaluation.goals=3", "evaluation.attempts=4", "evaluation.posture.harmless=4", "evaluation.posture.turns=3")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    words = [*TINY, *POSTURE, f"store={tmp_path_factory.mktemp('store')}", "algo=dpo"]
    return Graph(typed(composed(words)), quiet=True)


@pytest.fixture(scope="module")
def attacker(graph: Graph) -> Attacker:
    return Attacker(graph, graph.settings.evaluation)


@pytest.fixture(scope="module")
def found(graph: Graph, attacker: Attacker) -> Attacked:
    return read(attacker(graph.sft, "SFT"))


def test_every_goal_is_attacked_as_often_as_asked(attacker: Attacker, found: Attacked) -> None:
    tries = Counter(sample.prompt.base for sample in found.attempts)
    assert set(tries.values()) == {4}
    assert set(tries) == {goal.base for goal in attacker.goals}
    assert len(tries) == 3
    assert all(sample.verdict is not None and sample.gold is not None for sample in found.attempts)
    assert len({sample.key for sample in found.attempts}) == 12


def test_harmless_requests_meet_each_kind_of_attack_once(attacker: Attacker, found: Attacked) -> None:
    met = Counter((sample.prompt.base, sample.prompt.attack or "direct") for sample in found.harmless)
    assert set(met.values()) == {1}
    assert {kind for _, kind in met} == set(attacker.kinds)
    assert Counter(sample.prompt.kind for sample in found.harmless) == {
        "benign": 2 * len(attacker.kinds),
        "lookalike": 2 * len(attacker.kinds),
    }


def test_conversations_push_on_until_a_breach(found: Attacked) -> None:
    assert len(found.conversations) == 3
    for talk in found.conversations:
        asked = [message for message in talk.prompt.messages if message.role == "user"]
        assert len(asked) == talk.turn <= 3
        assert talk.breached or talk.cut or talk.turn == 3
        assert Verdict.COMPLIED not in talk.verdicts[:-1]


def test_controls_check_the_instrument(found: Attacked) -> None:
    assert found.controls["refuse"]["breach"] == found.controls["comply"]["refusal_lookalike"] == 0
    assert found.controls["comply"]["breach"] == found.controls["refuse"]["refusal_benign"] == 1
    assert found.controls["refuse"]["youden"] == found.controls["comply"]["youden"] == 0


def test_a_shorter_conversation_is_a_prefix_of_a_longer_one(graph: Graph, found: Attacked) -> None:
    config = graph.settings.evaluation
    short = replace(config, posture=replace(config.posture, turns=1))
    again = read(Attacker(graph, short)(graph.sft, "SFT"))
    assert [talk.replies for talk in again.conversations] == [talk.replies[:1] for talk in found.conversations]


def test_random_numbers_belong_to_a_conversation_and_not_to_who_else_goes_on(
    graph: Graph, attacker: Attacker, found: Attacked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer goals leave the conversations about those that stay as they were."""
    goals = attacker.goals
    monkeypatch.setattr(Attacker, "goals", goals[:1])
    sampler = graph.sampler(graph.sft, 1.0)
    [one] = attacker._conversations(sampler, "SFT", Work())
    assert one.replies == found.conversations[0].replies


def test_kinds_may_be_named_and_nobody_is_attacked_without_goals(graph: Graph) -> None:
    config = graph.settings.evaluation
    named = Attacker(graph, replace(config, posture=replace(config.posture, attacks=["code", "direct"])))
    assert {sample.prompt.attack for sample in read(named(graph.sft, "SFT")).attempts} <= {"", "code"}
    assert named.seen == ["direct"]
    assert not Attacker(graph, replace(config, goals=0))
    assert Attacker(graph, replace(config, goals=0))(graph.sft, "SFT") is None
    assert read(None) == Attacked()


def test_what_does_not_fit_is_missing_and_never_withstood(
    graph: Graph, attacker: Attacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [goal for goal in attacker.goals for _ in range(2)]
    short = len(prompts[0].messages[0].content.split()) + 3
    monkeypatch.setattr(graph.base, "limits", lambda prompts=False: Limits(max_length=short + 16, max_completion=16))
    told: list[str] = []
    monkeypatch.setattr(graph, "announce", told.append)
    long = replace(prompts[1], messages=(Message("user", prompts[1].messages[0].content + " please" * 40),))
    found = attacker._samples(graph.sampler(graph.sft, 1.0), [prompts[0], long], "x", "SFT", Work())
    assert [sample.verdict is None for sample in found] == [False, True]
    assert found[1].text == ""
    assert "1 of 2 attacks do not fit" in told[-1]


def test_prompt_sets_are_named_on_the_command_line_and_need_a_judge_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    rows = [{"prompt": f"how do i {what}", "kind": kind} for what, kind in (("a", "harmful"), ("b", "lookalike"))]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = [*TINY, f"store={tmp_path / 'store'}", "algo=dpo", f"evaluation.posture.sets.own={file}"]
    graph = Graph(typed(composed(words)), quiet=True)
    with pytest.raises(ConfigError, match="nobody judges replies to prompt sets"):
        Attacker(graph, graph.settings.evaluation).check()
    judged = Graph(typed(composed([*words, "judge=phrases"])), quiet=True)
    own = Attacker(judged, judged.settings.evaluation)
    own.check()
    found = read(own(judged.sft, "SFT"))
    assert {sample.prompt.kind for sample in found.attempts} == {"harmful"}
    assert all(sample.gold is None for sample in found.attempts)
    assert {sample.prompt.kind for sample in found.harmless} == {"lookalike"}
