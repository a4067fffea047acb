"""Settings of the reward model."""

from dataclasses import dataclass

from alignlab.method import OfflineConfig, param


@dataclass(kw_only=True)
class RewardModelConfig(OfflineConfig):
    """Bradley-Terry with optional margin and centring."""

    method: str = "reward_model"
    name: str = "reward_model"
    margin: float = param(0.0, "Weight of the annotator's stated margin in the logit; 0 ignores margins.", low=0)
    centring: float = param(0.0, "Weight of the squared sum of both scores (0.01 is common).", low=0)
