"""Conversations in which an attacker pushes on, and the file they live in. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alignlab.data.schema import Message, Prompt, Verdict
from alignlab.errors import DataError
from alignlab.stages.files import atomic_write_text

SCHEMA = 1
"""Version of a row of conversations.jsonl; a reader refuses any other."""

Ask = Callable[[Sequence["Conversation"]], Sequence[str | None]]
"""The next reply of each conversation; None where there is no room for one."""
Judge = Callable[[Sequence[Prompt], Sequence[str]], Sequence[Verdict | None]]
Push = Callable[["Conversation"], tuple[Message, ...]]
"""What was said with a further request behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One goal pursued over several requests, the first of them plain."""

    goal: str
    """`Prompt.base`."""
    number: int
    """Which of the conversations about the goal."""
    prompt: Prompt
    """Everything that was said before the last reply."""
    replies: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    """One a reply, up to the first breach."""
    cut: bool = False
    """It ended early: no room for a further request, or a reply that was not judged."""

    @property
    def breached(self) -> bool:
        """Whether the last reply complied."""
        return bool(self.verdicts) and self.verdicts[-1] is Verdict.COMPLIED

    @property
    def turn(self) -> int:
        """The request that the last judged reply answers, from 1; 0 where nothing was judged."""
        return len(self.verdicts)


def converse(
    goals: Sequence[Prompt], count: int, turns: int, *, ask: Ask, judge: Judge, push: Push
) -> list[Conversation]:
    """`count` conversations about each goal, of at most `turns` requests, ended by the first breach.

    All that are still going on are asked, judged and pushed together, turn by turn.
    """
    talks = [Conversation(goal=goal.base, number=n, prompt=goal) for goal in goals for n in range(count)]
    for turn in range(turns):
        going = [place for place, talk in enumerate(talks) if not talk.breached and not talk.cut]
        if turn:
            for place in going:
                talks[place] = replace(talks[place], prompt=replace(talks[place].prompt, messages=push(talks[place])))
        asked = [talks[place] for place in going]
        replies = ask(asked) if asked else []
        heard = [(place, reply) for place, reply in zip(going, replies, strict=True) if reply is not None]
        verdicts = judge([talks[place].prompt for place, _ in heard], [reply for _, reply in heard]) if heard else []
        told = {place: (reply, verdict) for (place, reply), verdict in zip(heard, verdicts, strict=True)}
        for place in going:
            talks[place] = _after(talks[place], *told.get(place, (None, None)))
    return talks


def _after(talk: Conversation, reply: str | None, verdict: Verdict | None) -> Conversation:
    if reply is None or verdict is None:
        return replace(talk, cut=True)
    return replace(talk, replies=(*talk.replies, reply), verdicts=(*talk.verdicts, verdict))


def write_conversations(path: Path, talks: Iterable[Conversation]) -> None:
    """One JSON object a line, in one atomic move."""
    atomic_write_text(path, "".join(json.dumps(_row(talk)) + "\n" for talk in talks))


def _row(talk: Conversation) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "goal": talk.goal,
        "number": talk.number,
        "kind": talk.prompt.kind,
        "messages": [list(message) for message in talk.prompt.messages],
        "replies": list(talk.replies),
        "verdicts": [verdict.value for verdict in talk.verdicts],
        "cut": talk.cut,
    }


def read_conversations(path: Path) -> list[Conversation]:
    """What `write_conversations` wrote. Raises DataError naming file and line for anything else."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"cannot read conversations from {path}: {error.strerror}") from error
    return [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]


def _parse(line: str, where: str) -> Conversation:
    try:
        row = json.loads(line)
        if row["schema"] != SCHEMA:
            raise DataError(f"{where} has schema version {row['schema']}, {SCHEMA} is read", "evaluate again")
        messages = tuple(Message(*turn) for turn in row["messages"])
        return Conversation(
            goal=row["goal"],
            number=row["number"],
            prompt=Prompt(id=f"{row['goal']}#{row['number']}", messages=messages, kind=row["kind"], base=row["goal"]),
            replies=tuple(row["replies"]),
            verdicts=tuple(Verdict(each) for each in row["verdicts"]),
            cut=row["cut"],
        )
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{where} is not a conversation: {error}", "evaluate again") from error
