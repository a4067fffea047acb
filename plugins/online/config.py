"""Settings of online preference learning."""

from dataclasses import dataclass

from alignlab.method import OnlinePairConfig, param


@dataclass(kw_only=True)
class OwnPairsConfig(OnlinePairConfig):
    """Which pairs are made of a rollout, and what they are compared with."""

    method: str = "online"
    name: str = "online"
    objective: str = param("dpo", "Preset whose pair objective is minimised.")
    group_size: int = param(2, "Completions of one prompt; the best and the worst of them make a pair.", low=2)
    reference_refresh: bool = param(
        False, "Compare with the policy at the start of each iteration instead of the SFT policy."
    )
