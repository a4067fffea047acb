"""Settings of online preference learning."""

from dataclasses import dataclass

from alignlab.errors import ConfigError
from alignlab.method import OnlinePairConfig, param


@dataclass(kw_only=True)
class OwnPairsConfig(OnlinePairConfig):
    """Which pairs are made of a rollout, how they are labelled, and what they are compared with."""

    method: str = "online"
    name: str = "online"
    objective: str = param("dpo", "Preset whose pair objective is minimised.")
    group_size: int = param(2, "Completions of one prompt; the best and the worst of them make a pair.", low=2)
    labels: str = param(
        "hard",
        "How the reward labels a pair: hard (the higher one wins), sampled or soft (Bradley-Terry probabilities).",
    )
    reference_refresh: bool = param(
        False, "Compare with the policy at the start of each iteration instead of the SFT policy."
    )

    def __post_init__(self) -> None:
        """Ranges, then the choice of labels."""
        super().__post_init__()
        if self.labels not in ("hard", "sampled", "soft"):
            raise ConfigError(
                f"algo.labels must be hard, sampled or soft, got {self.labels!r}", "pass algo.labels=hard"
            )
