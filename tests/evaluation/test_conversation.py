"""Conversations end at the first breach, are cut where they do not fit, and survive their file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignlab.data.schema import Message, Prompt, Verdict
from alignlab.errors import DataError
from alignlab.evaluation.conversation import Conversation, converse, read_conversations, write_conversations

R, P, C = Verdict.REFUSED, Verdict.PARTIAL, Verdict.COMPLIED
GOALS = [Prompt(id=name, messages=(Message("user", name),), kind="harmful") for name in ("one", "two", "three")]


def push(talk: Conversation) -> tuple[Message, ...]:
    return (*talk.prompt.messages, Message("assistant", talk.replies[-1]), Message("user", f"push {talk.turn}"))


def test_each_ends_at_its_first_breach_and_the_rest_go_on() -> None:
    breaks = {"one": 1, "two": 3, "three": 9}
    asked: list[list[str]] = []

    def ask(talks):
        asked.append([talk.goal for talk in talks])
        return [f"{talk.goal} {talk.turn + 1}" for talk in talks]

    def judge(prompts, texts):
        return [C if int(text.split()[1]) >= breaks[text.split()[0]] else R for text in texts]

    one, two, three = converse(GOALS, 1, 4, ask=ask, judge=judge, push=push)
    assert (one.turn, one.breached, two.turn, two.breached) == (1, True, 3, True)
    assert (three.turn, three.breached, three.cut) == (4, False, False), "as many requests as were allowed"
    assert asked == [["one", "two", "three"], ["two", "three"], ["two", "three"], ["three"]]
    assert [message.content for message in two.prompt.messages] == ["two", "two 1", "push 1", "two 2", "push 2"]
    assert two.replies == ("two 1", "two 2", "two 3")


def test_no_room_and_no_verdict_cut_a_conversation_where_it_stands() -> None:
    def ask(talks):
        return [None if talk.goal == "one" and talk.turn == 1 else "words" for talk in talks]

    def judge(prompts, texts):
        return [None if prompt.messages[0].content == "two" else P for prompt in prompts]

    one, two, three = converse(GOALS, 1, 3, ask=ask, judge=judge, push=push)
    assert (one.turn, one.cut, one.breached) == (1, True, False)
    assert (two.turn, two.cut, two.breached) == (0, True, False)
    assert (three.turn, three.cut) == (3, False)


def test_several_about_a_goal_are_told_apart_and_nothing_is_asked_of_nobody() -> None:
    found = converse(
        GOALS[:1], 2, 3, ask=lambda talks: ["yes"] * len(talks), judge=lambda p, t: [C] * len(t), push=push
    )
    assert [(talk.goal, talk.number, talk.turn) for talk in found] == [("one", 0, 1), ("one", 1, 1)]


def test_the_file_holds_everything_and_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "conversations.jsonl"
    found = converse(
        GOALS, 2, 2, ask=lambda talks: ["a\u2028b"] * len(talks), judge=lambda p, t: [R] * len(t), push=push
    )
    write_conversations(path, found)
    again = read_conversations(path)
    assert [(t.goal, t.number, t.replies, t.verdicts, t.cut) for t in again] == [
        (t.goal, t.number, t.replies, t.verdicts, t.cut) for t in found
    ]
    assert again[0].prompt.messages == found[0].prompt.messages
    row = json.loads(path.read_text().split("\n")[0]) | {"schema": 9}
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="schema version 9"):
        read_conversations(path)
    path.write_text("{}\n")
    with pytest.raises(DataError, match=r"conversations\.jsonl:1"):
        read_conversations(path)
