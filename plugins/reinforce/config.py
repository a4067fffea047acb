"""Settings of REINFORCE with a baseline."""

from dataclasses import dataclass

from alignlab.method import OnlineConfig, check_choices, param

BASELINES = ("moving_average", "batch_mean", "none")


@dataclass(kw_only=True)
class ReinforceConfig(OnlineConfig):
    """The baseline."""

    method: str = "reinforce"
    name: str = "reinforce"
    baseline: str = param(
        "moving_average", "Taken from every return: mean over earlier rollouts, batch_mean over this one, or none."
    )
    baseline_decay: float = param(
        1.0,
        "Weight of what came before in the moving average, for each rollout since; 1 forgets nothing.",
        low=0,
        high=1,
    )

    def __post_init__(self) -> None:
        """Ranges, then the choice of a baseline."""
        super().__post_init__()
        check_choices(self, baseline=BASELINES)
