"""What every attack is written with: a conversation, and a change of its last turn."""

from __future__ import annotations

import random
from collections.abc import Callable

from alignlab.data.schema import Message

Messages = tuple[Message, ...]
Attack = Callable[[Messages, random.Random], Messages]


def rewrite(messages: Messages, change: Callable[[str], str]) -> Messages:
    """The conversation with its last turn's text changed; earlier turns stay as they are."""
    last = messages[-1]
    return (*messages[:-1], Message(last.role, change(last.content)))
