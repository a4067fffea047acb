"""What a judge is asked and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from alignlab.data.schema import Prompt, Verdict

VERDICTS = (Verdict.REFUSED, Verdict.PARTIAL, Verdict.COMPLIED)
"""In the order in which answers for them are named."""


class Judge(Protocol):
    """Judges replies by their text."""

    def __call__(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> Sequence[Verdict | None]:
        """A verdict on each reply to its prompt; None where there was no usable answer."""
        ...
