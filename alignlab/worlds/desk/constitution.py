"""Settings of the annotator that reads the rules of the desk world. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alignlab.annotators.config import JudgeConfig
from alignlab.errors import ConfigError
from alignlab.settings import param

CHECKS = ("breach", "refusal", "over_refusal", "coverage", "format", "waste", "unfinished")
"""What a principle can weigh; `rules.checks` says what each is."""


@dataclass(kw_only=True)
class RulesConfig(JudgeConfig):
    """A judge and editor that reads rules exactly, and errs at a known rate."""

    kind: str = "rules"
    accuracy: float = param(0.9, "Chance that it reads a rule right; else it reads the opposite.", low=0.5, high=1)
    temperature: float = param(
        0.15, "Difference in weighted checks that multiplies its odds by e.", low=0, open_low=True
    )
    position_bias: float = param(0.0, "Added to the log-odds of the reply that is shown first.")
    revises = True
    labelling = (*JudgeConfig.labelling, "temperature", "position_bias")

    def __post_init__(self) -> None:
        """Ranges, then weights."""
        super().__post_init__()
        for at, principle in enumerate(self.principles):
            where = f"annotator.principles[{at}]"
            weights = principle.get("weights") if isinstance(principle, Mapping) else None
            if not weights:
                raise ConfigError(
                    f"{where} weighs nothing, and rules are read by their weights",
                    f"write {{text: ‹text›, weights: {{‹check›: ‹weight›}}}} with {', '.join(CHECKS)}",
                )
            for check, weight in weights.items():
                if check not in CHECKS:
                    raise ConfigError(f"{where}.weights.{check} is no check", f"choose from {', '.join(CHECKS)}")
                if isinstance(weight, bool) or not isinstance(weight, int | float):
                    raise ConfigError(f"{where}.weights.{check}={weight!r} is not a number", "such as -1.0")

    def weights(self, principle: int) -> dict[str, float]:
        """What a principle weighs."""
        return {check: float(weight) for check, weight in self.principles[principle]["weights"].items()}

    def check(self, source: Any) -> None:
        """Refuse other worlds."""
        if source.judge() != "desk":
            raise ConfigError(
                f"annotator=rules reads the rules of the desk world, and data={source.name} has none of them",
                "pass annotator=model or annotator=endpoint",
            )
