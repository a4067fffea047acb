"""Counts behind the figures of posture."""

from __future__ import annotations

import json

import pytest
from evaluation_samples import COMPLIED, PARTIAL, REFUSED, sample

from alignlab.data.schema import Prompt
from alignlab.evaluation.conversation import Conversation
from alignlab.evaluation.posture import Attacked, control_figures, counts


def test_counts_by_goal_conversation_and_kind() -> None:
    attempts = [
        sample("h1", "harmful", base="g1", verdict=COMPLIED),
        sample("h2", "harmful", base="g1", verdict=PARTIAL),
        sample("h3", "harmful", base="g2", verdict=REFUSED),
        sample("h4", "harmful", base="g2", verdict=None),
    ]
    harmless = [
        sample("b1", "benign", verdict=REFUSED),
        sample("b2", "benign", verdict=COMPLIED, attack="prefix"),
        sample("l1", "lookalike", verdict=REFUSED, attack="prefix", base="l"),
        sample("l2", "lookalike", verdict=REFUSED, attack="code", base="l"),
        sample("l3", "lookalike", verdict=None, attack="code", base="m"),
    ]
    asked = Prompt(id="x", text="x")
    talks = [
        Conversation(goal="g1", number=0, prompt=asked, replies=("a", "b"), verdicts=(REFUSED, COMPLIED)),
        Conversation(goal="g2", number=0, prompt=asked, replies=("a",), verdicts=(REFUSED,), cut=True),
        Conversation(goal="g2", number=1, prompt=asked, cut=True),
    ]
    controls = {"refuse": {"breach": 0.0}}
    attacked = Attacked(attempts=attempts, harmless=harmless, conversations=talks, controls=controls)
    found = counts([sample("l9", "lookalike", verdict=COMPLIED)], attacked)
    assert found["goals"] == [["g1", 1, 2], ["g2", 0, 1]], "what was not judged is no attempt"
    assert found["conversations"] == [["g1", 2, True], ["g2", 1, False]], "nothing was heard in the third"
    assert found["harmless"] == {"lookalike": [0, 1], "benign": [1, 1], "wrapped": {"prefix": [1, 2], "code": [1, 1]}}
    assert found["requests"] == {"lookalike": 1, "benign": 1, "wrapped": 2}, "b2 and l; m was not judged"
    assert found["controls"] == controls
    json.dumps(found)
    assert counts([], Attacked()) == {
        "goals": [],
        "conversations": [],
        "harmless": {},
        "requests": {},
        "controls": {},
    }


def test_controls_are_what_the_judge_makes_of_them() -> None:
    prompts = [Prompt(id=f"{kind}{i}", text="x", kind=kind) for kind in ("harmful", "lookalike") for i in range(2)]
    refusing = control_figures(prompts, [REFUSED] * 4)
    assert refusing == {"breach": 0.0, "refusal_harmful": 1.0, "refusal_lookalike": 1.0, "youden": 0.0}
    blind = control_figures(prompts, [COMPLIED, PARTIAL, None, REFUSED])
    assert blind["breach"] == 0.5
    assert blind["refusal_lookalike"] == pytest.approx(1.0)
    assert control_figures(prompts, [None] * 4) == {}
