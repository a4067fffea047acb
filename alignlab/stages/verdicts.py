"""The judge of refusals of a run, and its address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alignlab import registry
from alignlab.data.schema import Prompt, Verdict
from alignlab.stages.fingerprint import source_hashes


class Judging:
    """Judges replies by the component that the settings name, or by the one that is exact for the data source."""

    def __init__(self, source: Any, named: str | None) -> None:
        own = source.judge()
        self.name = named or own
        self.exact = self.name is not None and self.name == own

    def verdicts(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict | None]:
        """A verdict for each reply; None without a judge."""
        if self.name is None:
            return [None] * len(texts)
        judge = registry.component("judges", self.name).load()
        return [judge(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]

    def address(self) -> dict[str, Any]:
        """What verdicts depend on."""
        if self.name is None:
            return {}
        return {"name": self.name, "code": source_hashes(registry.component("judges", self.name).target)}

    def check(self) -> dict[str, Any] | None:
        """How well it agreed with people; None where that was not measured."""
        return None

    def described(self) -> dict[str, Any]:
        """Name, whether it is exact, and how well it agrees with people."""
        return {"name": self.name, "exact": self.exact, "check": self.check()}
