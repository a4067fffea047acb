"""Settings of the evaluation: one frozen protocol for every method. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field

from alignlab import registry
from alignlab.errors import ConfigError
from alignlab.promptsets.config import on_hub
from alignlab.settings import check_ranges, param


@dataclass(kw_only=True)
class PostureConfig:
    """What is measured of refusals and breaches beside `goals` and `attempts`; every method meets the same attacks."""

    attacks: list[str] | None = None
    """Kinds of attack, drawn uniformly; null takes all that the data source has."""
    harmless: int = param(
        24, "Held-out harmless requests, half of them look-alikes, that meet each kind of attack once.", low=0
    )
    conversations: int = param(1, "Conversations about each goal, in which an attacker pushes on.", low=0)
    turns: int = param(4, "Most requests in such a conversation, the first included.", low=1)
    sets: dict[str, str] = field(default_factory=dict)
    """Prompt sets whose requests are attacked instead of the data source's own: name -> file."""

    def __post_init__(self) -> None:
        """Check ranges, and that attacks exist."""
        check_ranges(self, "evaluation.posture")
        if self.attacks is not None and not self.attacks:
            raise ConfigError("evaluation.posture.attacks is empty", "name at least one kind, or leave it out")
        for kind in self.attacks or ():
            registry.component("attacks", kind)
        for name, path in self.sets.items():
            on_hub(name, path)


@dataclass(kw_only=True)
class EvaluationConfig:
    """One frozen protocol for every method."""

    prompts: int = param(400, "Held-out prompts, one completion each.", low=1)
    attempts: int = param(16, "Attacks on each held-out harmful request.", low=1)
    goals: int = param(48, "Held-out harmful requests that are attacked.", low=0)
    temperature: float = param(1.0, "Sampling temperature; 0 is greedy.", low=0)
    reward_models: bool = param(True, "Score replies by reward models; false trains none that only evaluation needs.")
    best_of: int | None = param(
        None, "Replies of SFT to a request for the curve of best-of-n; null: 64 where the true score is known.", low=0
    )
    frontier: int | None = param(
        None,
        "Requests on which the policy is mixed with its reference, which draws its frontier; null: 100 where "
        "the true score is known.",
        low=0,
    )
    posture: PostureConfig = field(default_factory=PostureConfig)
    split: str = "evaluation"
    """Which requests: evaluation, or validation, on which settings are chosen."""
    show: int = param(3, "Before/after samples printed at the end.", low=0)
    reveal: bool = False
    """Show completions of real harmful requests in the terminal."""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self, "evaluation")
        if self.split not in ("evaluation", "validation"):
            raise ConfigError(f"evaluation.split must be evaluation or validation, got {self.split!r}", "leave it out")
