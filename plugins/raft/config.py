"""Settings of RAFT and expert iteration."""

from dataclasses import dataclass

from alignlab.errors import ConfigError
from alignlab.method import OnlineConfig, check_choices, param


@dataclass(kw_only=True)
class RAFTConfig(OnlineConfig):
    """Which samples are imitated."""

    method: str = "raft"
    name: str = "raft"
    group_size: int = param(8, "Completions of one prompt.", low=1)
    beta: float = param(0.0, "Not used: without a reference there is no KL to price.", low=0, high=0)
    keep: str = param(
        "best",
        "Completions to imitate: best of each prompt, those at or above a quantile of the rollout's rewards, "
        "or at or above a threshold.",
    )
    quantile: float = param(0.75, "Share of the rollout that keep=quantile leaves out.", low=0, high=1, open_high=True)
    threshold: float = param(0.0, "Lowest reward that keep=threshold lets pass; SFT samples average 0.")

    def __post_init__(self) -> None:
        """Ranges, then the choice of what is kept."""
        super().__post_init__()
        check_choices(self, keep=("best", "quantile", "threshold"))
        if self.keep == "best" and self.group_size == 1:
            raise ConfigError(
                "algo.keep=best of algo.group_size=1 completion keeps everything, whatever its reward",
                "pass a larger algo.group_size",
            )
