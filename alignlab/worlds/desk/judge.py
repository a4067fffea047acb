"""The exact judge of the desk world, as evaluation asks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alignlab.data.schema import Prompt, Verdict
from alignlab.worlds.desk.gold import verdict


def desk_judge(config: None = None, **given: Any) -> Any:
    """The judge; it has no settings and needs nothing."""
    return verdicts


def verdicts(prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict]:
    """The verdict on each reply."""
    return [verdict(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
