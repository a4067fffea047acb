"""The data source's own judge, whose verdicts are exact there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alignlab import registry
from alignlab.data.schema import Prompt, Verdict
from alignlab.judges.kinds import SourceConfig
from alignlab.judges.verdicts import Judge


def source_judge(config: SourceConfig, *, source: Any, **given: Any) -> Judge:
    """The judge that the source names; one that judges nothing where it names none."""
    name = source.judge()
    if name is None:
        return silent
    judge: Judge = registry.component("judges", name).load()(None, source=source, **given)
    return judge


def silent(prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict | None]:
    """No verdict on anything."""
    return [None] * len(texts)
