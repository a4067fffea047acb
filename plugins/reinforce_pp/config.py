"""Settings of REINFORCE++."""

from dataclasses import dataclass

from alignlab.errors import ConfigError
from alignlab.method import OnlineConfig, check_choices, param

CHOICES = {
    "baseline": ("none", "mean"),
    "kl_place": ("reward", "loss"),
    "kl_estimator": ("k1", "k2", "k3"),
}
"""Every value of the settings that are names."""


@dataclass(kw_only=True)
class ReinforcePPConfig(OnlineConfig):
    """The baseline, the place of KL and the clip."""

    method: str = "reinforce_pp"
    name: str = "reinforce_pp"
    baseline: str = param("none", "Taken from each reward before whitening: none, or the mean of its group.")
    kl_place: str = param("reward", "Where beta enters: reward (per token, return-to-go) or loss.")
    kl_estimator: str = param("k1", "Estimate of a token's KL: k1 = log pi/ref, k2 = k1^2 / 2, k3 = ref/pi - 1 + k1.")
    clip_low: float = param(0.2, "Ratios below 1 less this are clipped; 1 sets no bound.", low=0, open_low=True, high=1)
    clip_high: float = param(0.2, "Ratios above 1 plus this are clipped.", low=0, open_low=True)

    def __post_init__(self) -> None:
        """Ranges, then the choices."""
        super().__post_init__()
        check_choices(self, **CHOICES)
        if self.baseline == "mean" and self.group_size < 2:
            raise ConfigError(
                "algo.baseline=mean of a group of algo.group_size=1 leaves nothing", "pass algo.group_size=8"
            )
        if self.kl_place == "loss" and self.kl_estimator == "k1":
            raise ConfigError("algo.kl_estimator=k1 in the loss has no expected gradient", "pass algo.kl_estimator=k2")
