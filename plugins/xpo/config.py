"""Settings of XPO."""

from dataclasses import dataclass

from alignlab.errors import ConfigError
from alignlab.method import OnlinePairConfig, param


@dataclass(kw_only=True)
class XPOConfig(OnlinePairConfig):
    """The optimism term, and how pairs are labelled."""

    method: str = "xpo"
    name: str = "xpo"
    objective: str = param("dpo", "Preset whose pair objective is minimised beside the optimism term.")
    group_size: int = param(1, "Completions of one prompt by the policy; each prompt is one comparison.", low=1, high=1)
    alpha: float = param(
        1e-5,
        "Weight of log pi of the reference's sample, in loss per nat; 0 is online DPO against the reference.",
        low=0,
        search=(1e-6, 1e-2, "log"),
    )
    alpha_schedule: str = param("linear", "Course of alpha over the run: constant, or linear to 0.")
    labels: str = param(
        "hard",
        "How the reward labels a pair: hard (the higher one wins), sampled or soft (Bradley-Terry probabilities).",
    )

    def __post_init__(self) -> None:
        """Ranges, then the choices."""
        super().__post_init__()
        if self.alpha_schedule not in ("constant", "linear"):
            raise ConfigError(
                f"algo.alpha_schedule must be constant or linear, got {self.alpha_schedule!r}",
                "pass algo.alpha_schedule=linear",
            )
        if self.labels not in ("hard", "sampled", "soft"):
            raise ConfigError(
                f"algo.labels must be hard, sampled or soft, got {self.labels!r}", "pass algo.labels=hard"
            )
