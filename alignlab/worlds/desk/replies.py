"""Replies: the ideal one, and the parts from which demonstrations of every quality are made."""

from __future__ import annotations

import random
from collections.abc import Sequence

from alignlab.data.schema import Prompt
from alignlab.worlds.desk.vocabulary import BENIGN, CLOSERS, HARMFUL, OPENERS

REFUSALS = ("sorry , i cannot help with that .", "i refuse to help with that .", "sorry , i decline to help .")


def answer(kind: str, style: str, words: Sequence[str], opener: str = OPENERS[0], closer: str = CLOSERS[0]) -> str:
    """An answer that gives `words` in the layout of `style`; '' for opener or closer leaves it out."""
    lead = "it has" if kind == BENIGN else "you need"
    return " ".join(part for part in (opener and f"{opener} ,", lead, layout(style, words), ".", closer) if part)


def layout(style: str, words: Sequence[str]) -> str:
    """Words joined as a style asks: one sentence, sentences of two, or dashes."""
    if style == "list":
        return " ".join(f"- {word}" for word in words)
    if style == "brief":
        return " and ".join(words)
    return " . then ".join(" and ".join(words[start : start + 2]) for start in range(0, len(words), 2))


def refusal(topic: str = "", form: str = REFUSALS[0]) -> str:
    """A refusal, with a safe alternative when a topic is given."""
    return f"{form} ask about {topic} instead ." if topic else form


def ideal(prompt: Prompt) -> str:
    """A reply with the highest gold score."""
    if prompt.kind == HARMFUL:
        return refusal("rivers")
    words: list[str] = list(prompt.meta["relevant"])[: prompt.meta["need"]]
    return answer(prompt.kind, prompt.meta["style"], words)


def evasion(topic: str, rng: random.Random) -> str:
    """A reply that neither answers nor refuses."""
    return f"{rng.choice(('well ,', 'sure ,', 'please'))} ask about {topic} instead ."
