"""Settings of reward-guided decoding."""

from dataclasses import dataclass

from alignlab.method import SamplerConfig, param


@dataclass(kw_only=True)
class ARGSConfig(SamplerConfig):
    """How many tokens are considered, and how much their reward counts."""

    method: str = "args"
    name: str = "args"
    top_k: int = param(10, "Most likely tokens that are considered at every step.", low=1)
    reward_weight: float = param(
        1.0, "Weight of the reward beside the log-probability; 0 is top-k sampling.", low=0, search=(0.1, 10.0, "log")
    )
