"""What a method did not declare is not there, and the message says which declaration to write."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from small import llama, parts, scorer

from alignlab.errors import MissingPartError
from alignlab.models.parts import Parts
from alignlab.models.policy import Policy


@pytest.mark.parametrize(
    ("reach", "part", "declaration"),
    [
        (lambda p: p.reference, "reference", "Needs(reference=Reference.MODEL)"),
        (lambda p: p.engine, "engine", "Needs(rollouts=True)"),
        (lambda p: p.scorer("cost"), "scorer('cost')", "Needs(scorers=('cost',))"),
        (lambda p: p.new_value("sft"), "new_value", "Needs(rollouts=True)"),
    ],
)
def test_an_undeclared_part_says_how_to_declare_it(reach: Callable[[Parts], Any], part: str, declaration: str) -> None:
    message = f"method 'test' uses parts.{part} but does not declare it\n  remedy: write {declaration} in its Method"
    with pytest.raises(MissingPartError, match=re.escape(message)):
        reach(parts(Policy(llama())))


def test_declared_parts_are_handed_over() -> None:
    policy, reward, value = Policy(llama()), scorer(1), scorer(2)
    given = parts(policy, reference=Policy(llama(3)), reward=reward, engine="engine", value=value)
    assert given.reference.model.training is False
    assert given.scorer("reward") is reward
    assert given.engine == "engine"
    assert given.new_value("reward") is value
    assert given.policy is policy


def test_a_scorer_is_no_policy() -> None:
    with pytest.raises(MissingPartError, match=re.escape("write output=Output.POLICY in its Method")):
        _ = parts(scorer()).policy
