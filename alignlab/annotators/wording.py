"""What a language model is asked, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from alignlab.annotators.feedback import Comparison, Draft
from alignlab.annotators.kinds import AskedConfig
from alignlab.data.schema import Prompt


def question(config: AskedConfig, asked: Comparison) -> str:
    """A comparison in words."""
    one, two = config.answers
    values = {"first": asked.first, "second": asked.second, "one": one, "two": two}
    return _filled(config.question, asked.prompt, config.texts[asked.principle], values)


def critique(config: AskedConfig, draft: Draft) -> str:
    """The request for criticism in words."""
    return _filled(config.critique, draft.prompt, config.texts[draft.principle], {"reply": draft.reply})


def revision(config: AskedConfig, draft: Draft, criticism: str) -> str:
    """The request for a revision in words."""
    values = {"reply": draft.reply, "critique": criticism}
    return _filled(config.revision, draft.prompt, config.texts[draft.principle], values)


def _filled(text: str, prompt: Prompt, principle: str, values: Mapping[str, str]) -> str:
    """A text with its placeholders filled in one pass: braces in a completion stay braces."""
    known = {"prompt": prompt.show(), "principle": principle, **values}
    return re.sub(r"\{(\w+)\}", lambda found: known[found[1]], text)
