"""Anthropic's transcripts: text of turns marked `\\n\\nHuman:` and `\\n\\nAssistant:` (arXiv:2204.05862)."""

from __future__ import annotations

import re

from alignlab.data.schema import Message

_TURN = re.compile(r"\n\n(Human|Assistant):")
_LAST = "\n\nAssistant:"
_ROLE = {"Human": "user", "Assistant": "assistant"}


def is_transcript(text: str) -> bool:
    """Whether the text opens with a Human turn and has an Assistant turn."""
    return text.startswith("\n\nHuman:") and _LAST in text


def split_transcript(text: str) -> tuple[tuple[Message, ...], str]:
    """The turns before the last Assistant turn, and that turn's text, both without outer white space.

    Turns of one speaker in a row are joined, since most chat templates demand that roles alternate.
    """
    before, _, reply = text.rpartition(_LAST)
    parts = _TURN.split(before)[1:]
    turns: list[Message] = []
    for speaker, content in zip(parts[::2], parts[1::2], strict=True):
        role = _ROLE[speaker]
        if turns and turns[-1].role == role:
            turns[-1] = Message(role, f"{turns[-1].content}\n\n{content.strip()}")
        else:
            turns.append(Message(role, content.strip()))
    return tuple(turns), reply.strip()
