"""How a fair tuning chooses settings: as many trials for every method, on seeds nobody reports. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alignlab.errors import ConfigError
from alignlab.method import check_ranges, param

SELECT = ("judge_score", "gold", "proxy")
SAMPLERS = ("random", "optuna")


@dataclass(kw_only=True)
class TuneConfig:
    """Settings of the search. What is searched, and over which range, each method declares beside its defaults."""

    seeds: list[int] = field(default_factory=lambda: [1000])
    """Seeds of the trials; none of them may be reported."""
    select: str = "judge_score"
    """Score on validation requests that decides. gold is an oracle; proxy favours whoever optimises it."""
    kl_limit: float | None = param(
        3.0,
        "A trial further from SFT than this, in nats a reply, is not chosen; null: any may be.",
        low=0,
        open_low=True,
    )
    sampler: str = "random"
    """random: seeded, every trial like every other; optuna: each trial learns from those before it."""
    seed: int = 0
    """Of the search."""

    def __post_init__(self) -> None:
        """Check names, seeds and ranges."""
        check_ranges(self, "tune")
        for key, value, known in (("select", self.select, SELECT), ("sampler", self.sampler, SAMPLERS)):
            if value not in known:
                raise ConfigError(
                    f"tune.{key} must be {' or '.join(known)}, got {value!r}", f"pass tune.{key}={known[0]}"
                )
        if not self.seeds:
            raise ConfigError("tune.seeds is empty", "pass tune.seeds=[1000]")


def check_search(ranges: Mapping[str, Any]) -> None:
    """Refuse a range that is none."""
    for name, ends in ranges.items():
        if not _interval(ends):
            raise ConfigError(f"ranges.{name} must be two rising numbers, got {ends}", f"as in ranges.{name}=[0.01,1]")


def _interval(ends: Any) -> bool:
    numbers = isinstance(ends, (list, tuple)) and len(ends) == 2 and all(isinstance(end, (int, float)) for end in ends)
    return numbers and ends[0] < ends[1]
