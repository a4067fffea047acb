"""Settings of SimPO."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class SimPOConfig(PairConfig):
    """A reward scale, and a margin in its unit."""

    method: str = "simpo"
    name: str = "simpo"
    beta: float = param(
        2.0,
        "Reward of one nat of mean token log-probability; far larger than the beta of summed log-probabilities.",
        low=0,
        open_low=True,
        search=(0.05, 20.0, "log"),
    )
    target_margin: float = param(
        1.0,
        "Reward by which chosen must beat rejected before the loss drops below log 2 (gamma, not gamma / beta).",
        low=0,
        search=(0.0, 5.0, "linear"),
    )
