"""The judge and the editor that read the rules of the desk world."""

from __future__ import annotations

import math
import random

import pytest

from alignlab.annotators.feedback import Comparison, Draft
from alignlab.data.schema import Prompt, Split
from alignlab.worlds.desk import replies
from alignlab.worlds.desk.constitution import CHECKS, RulesConfig
from alignlab.worlds.desk.edits import edited
from alignlab.worlds.desk.gold import gold, is_refusal, verdict
from alignlab.worlds.desk.requests import by_split
from alignlab.worlds.desk.rules import RulesAnnotator, checks

REFUSAL = "sorry , i cannot help with that ."
ROWS = 4000


def prompts(kind: str, style: str = "brief") -> list[Prompt]:
    return [request.prompt() for request in by_split("small", Split.TRAIN)[kind] if request.style == style]


HARMLESS, HARMFUL = prompts("benign")[0], prompts("harmful")[0]
GOOD = replies.ideal(HARMLESS)
BREACH = replies.answer("harmful", "brief", HARMFUL.meta["relevant"][:2])


def rules(accuracy: float = 1.0, **given: object) -> RulesAnnotator:
    principles = given.pop("principles", [{"text": "x", "weights": {"breach": -1.0, "over_refusal": -1.0}}])
    return RulesAnnotator(RulesConfig(accuracy=accuracy, principles=principles, **given))  # type: ignore[arg-type]


def comparison(prompt: Prompt, first: str, second: str, seed: int = 0) -> Comparison:
    return Comparison(prompt, first, second, (True, True), 0, seed)


def test_checks_say_what_is_true() -> None:
    assert set(checks(HARMLESS, GOOD, True)) == set(CHECKS)
    assert checks(HARMLESS, GOOD, True) == dict.fromkeys(CHECKS, 0.0) | {"coverage": 1.0, "format": 1.0}
    assert checks(HARMLESS, REFUSAL, False) == dict.fromkeys(CHECKS, 0.0) | {"over_refusal": 1.0, "unfinished": 1.0}
    assert checks(HARMFUL, BREACH, True)["breach"] == 1.0
    assert checks(HARMFUL, REFUSAL, True) == dict.fromkeys(CHECKS, 0.0) | {"refusal": 1.0}


@pytest.mark.parametrize(("prompt", "better", "worse"), [(HARMLESS, GOOD, REFUSAL), (HARMFUL, REFUSAL, BREACH)])
def test_at_accuracy_one_it_reproduces_the_order_of_the_rules(prompt: Prompt, better: str, worse: str) -> None:
    judge = rules(temperature=0.5)
    for seed in range(20):
        asked = comparison(prompt, better, worse, seed)
        forward, backward = judge.judge([asked, comparison(prompt, worse, better, seed)])
        assert forward == pytest.approx(1 / (1 + math.exp(-2)))
        assert backward == pytest.approx(1 - forward)


@pytest.mark.parametrize("accuracy", [0.5, 0.8])
def test_accuracy_is_how_often_it_names_the_better_one(accuracy: float) -> None:
    judge = rules(accuracy)
    said = judge.judge([comparison(HARMLESS, GOOD, REFUSAL, seed) for seed in range(ROWS)])
    right = sum(p > 0.5 for p in said if p is not None) / ROWS
    assert abs(right - accuracy) < 4 * math.sqrt(accuracy * (1 - accuracy) / ROWS)


def test_a_misreading_belongs_to_the_row_and_not_to_the_order() -> None:
    judge = rules(0.6)
    for seed in range(50):
        forward, backward = judge.judge(
            [comparison(HARMLESS, a, b, seed) for a, b in ((GOOD, REFUSAL), (REFUSAL, GOOD))]
        )
        assert forward == pytest.approx(1 - backward)


def test_a_bias_for_the_place_shifts_the_log_odds() -> None:
    (said,) = rules(position_bias=0.7).judge([comparison(HARMLESS, GOOD, GOOD)])
    assert said == pytest.approx(1 / (1 + math.exp(-0.7)))


@pytest.mark.parametrize("kind", ["benign", "lookalike", "harmful"])
@pytest.mark.parametrize("style", ["brief", "detail", "list"])
def test_an_exact_editor_never_makes_a_reply_worse(kind: str, style: str) -> None:
    weighed = dict.fromkeys(CHECKS, 1.0)
    drafts = (REFUSAL, BREACH, "well , thanks it has water water and thanks .", "ask about rivers instead .", "-")
    for prompt in prompts(kind, style):
        for draft in drafts:
            _, after = edited(prompt, draft, weighed, 1.0, random.Random(1))
            assert gold(prompt, after, True) >= gold(prompt, draft, True)
            assert is_refusal(after.split()) is (kind == "harmful")
            assert gold(prompt, after, True) >= 0.7
            again = edited(prompt, after, weighed, 1.0, random.Random(2))
            assert again == ("nothing against it", after)


def test_only_what_is_weighed_is_edited() -> None:
    draft = "it has very water ."
    assert edited(HARMFUL, BREACH, {"coverage"}, 1.0, random.Random(0))[1] == BREACH
    assert edited(HARMLESS, REFUSAL, {"coverage"}, 1.0, random.Random(0))[1] == REFUSAL
    rivers = next(prompt for prompt in prompts("benign") if prompt.meta["thing"] == "rivers")
    assert edited(rivers, draft, {"waste"}, 1.0, random.Random(0)) == ("it pads", "it has water .")
    assert edited(rivers, draft, {"coverage"}, 1.0, random.Random(0))[1] == "it has very water and banks ."


def test_accuracy_of_the_editor_is_how_often_it_knows_harm() -> None:
    drafts = [Draft(HARMFUL, BREACH, 0, seed) for seed in range(ROWS)]
    said = rules(0.8).revise(drafts)
    refused = sum(verdict(HARMFUL, one.reply) == "refused" for one in said if one is not None) / ROWS
    assert abs(refused - 0.8) < 4 * math.sqrt(0.16 / ROWS)
