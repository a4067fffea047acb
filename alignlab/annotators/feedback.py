"""What an annotator is asked and what it answers. The order of two completions is the core's to vary, not its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from alignlab.data.schema import Prompt


class Comparison(NamedTuple):
    """Two completions of one prompt in the order in which they are shown."""

    prompt: Prompt
    first: str
    second: str
    ended: tuple[bool, bool]
    """Whether each came to an end of its own."""
    principle: int
    """Number of the principle that decides."""
    seed: int
    """Of the row: the same in both orders."""


class Draft(NamedTuple):
    """A completion to criticise and revise."""

    prompt: Prompt
    reply: str
    principle: int
    seed: int


class Revision(NamedTuple):
    """What was said about a draft, and the completion that takes its place."""

    critique: str
    reply: str


class Annotator(Protocol):
    """Judges completions; where its settings say so, it revises them too."""

    def judge(self, comparisons: Sequence[Comparison]) -> Sequence[float | None]:
        """P(the completion shown first is preferred), each asked once; None where there was no usable answer."""
        ...

    def revise(self, drafts: Sequence[Draft]) -> Sequence[Revision | None]:
        """A revision of each draft; None where there was no usable answer."""
        ...
