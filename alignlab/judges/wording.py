"""Texts with a prompt and a reply in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from alignlab.data.schema import Prompt
from alignlab.judges.kinds import AskedConfig


def question(config: AskedConfig, prompt: Prompt, reply: str) -> str:
    """What a model is asked about a reply."""
    return filled(config.question, prompt, reply, dict(zip(("one", "two", "three"), config.answers, strict=True)))


def filled(text: str, prompt: Prompt, reply: str, values: Mapping[str, str] | None = None) -> str:
    """A text with its placeholders filled in one pass: braces in a reply stay braces."""
    known = {"prompt": prompt.show(), "reply": reply, **(values or {})}
    return re.sub(r"\{(\w+)\}", lambda found: known[found[1]], text)
