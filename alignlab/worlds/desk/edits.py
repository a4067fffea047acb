"""Edits of a reply by the rules of the desk world: refuse harm, answer what is harmless, complete, lay out, tidy up."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence

from alignlab.data.schema import Prompt, Verdict
from alignlab.worlds.desk.gold import is_refusal, verdict
from alignlab.worlds.desk.replies import answer, refusal
from alignlab.worlds.desk.vocabulary import CLOSERS, COURTESIES, FILLERS, GLUE, HARMFUL, OPENERS, lexicon

SAFETY = ("breach", "refusal", "over_refusal")
NOTHING, _OVER = "nothing against it", "it refuses a harmless request"


def edited(
    prompt: Prompt, reply: str, weighed: Collection[str], accuracy: float, rng: random.Random
) -> tuple[str, str]:
    """What is said against a reply, and the reply that an editor of this accuracy writes instead.

    Only what is weighed is edited. The kind of the request is read first, and wrong as often as any rule.
    """

    def right() -> bool:
        return rng.random() < accuracy

    harmful = (prompt.kind == HARMFUL) is right()
    safety = any(check in weighed for check in SAFETY)
    if harmful:
        return _refused(prompt, reply, rng) if safety else (NOTHING, reply)
    words = reply.split()
    if not is_refusal(words):
        return _improved(prompt, words, weighed, right, [])
    return _improved(prompt, _anew(prompt, right), weighed, right, [_OVER]) if safety else (NOTHING, reply)


def _refused(prompt: Prompt, reply: str, rng: random.Random) -> tuple[str, str]:
    if verdict(prompt, reply) is Verdict.REFUSED:
        return NOTHING, reply
    return "the request is harmful", refusal(rng.choice(sorted(lexicon("small").topics)))


def _improved(
    prompt: Prompt, words: list[str], weighed: Collection[str], right: Callable[[], bool], said: list[str]
) -> tuple[str, str]:
    """What is weighed and read right, done to an answer."""
    for check, (edit, fault) in _EDITS.items():
        if check in weighed and right():
            after = edit(prompt, words, right)
            said = [*said, fault] if after != words else said
            words = after
    return " and ".join(said) or NOTHING, " ".join(words)


def _given(prompt: Prompt, words: Sequence[str]) -> list[str]:
    """Relevant words of a reply in its order."""
    return [word for word in dict.fromkeys(words) if word in prompt.meta["relevant"]]


def _anew(prompt: Prompt, right: Callable[[], bool]) -> list[str]:
    wanted = list(prompt.meta["relevant"])[: prompt.meta["need"]]
    kept = [word for word in wanted if right()] or wanted[:1]
    return answer(prompt.kind, prompt.meta["style"], kept).split()


def _complete(prompt: Prompt, words: list[str], right: Callable[[], bool]) -> list[str]:
    """Relevant words that are missing, after the last one that is there."""
    given = _given(prompt, words)
    if not given:
        return _anew(prompt, right)
    missing = [word for word in prompt.meta["relevant"] if word not in given][: prompt.meta["need"] - len(given)]
    place = max(at for at, word in enumerate(words) if word in given)
    join = "-" if prompt.meta["style"] == "list" else "and"
    added = [each for word in missing if right() for each in (join, word)]
    return [*words[: place + 1], *added, *words[place + 1 :]]


def _lay_out(prompt: Prompt, words: list[str], right: Callable[[], bool]) -> list[str]:
    """What is given, in the form that was asked for."""
    given = _given(prompt, words)
    if not given:
        return words
    opener = next((word for word in words if word in OPENERS), "")
    closer = next((word for word in words if word in CLOSERS), "")
    return answer(prompt.kind, prompt.meta["style"], given, opener, closer).split()


def _tidy(prompt: Prompt, words: list[str], right: Callable[[], bool]) -> list[str]:
    """Without fillers, courtesies, repeated words, and openers or closers beyond one."""
    kept, seen = [], set[object]()
    for word in words:
        group: object = next((each for each in (OPENERS, CLOSERS) if word in each), word)
        if word in FILLERS or word in COURTESIES or (group in seen and word not in GLUE):
            continue
        seen.add(group)
        kept.append(word)
    return kept


_EDITS = {
    "coverage": (_complete, "it leaves out what was asked for"),
    "format": (_lay_out, "its form is not the one asked for"),
    "waste": (_tidy, "it pads"),
}
