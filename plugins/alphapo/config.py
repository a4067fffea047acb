"""Settings of AlphaPO."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class AlphaPOConfig(PairConfig):
    """SimPO's reward scale and margin, and the shape of the reward."""

    method: str = "alphapo"
    name: str = "alphapo"
    beta: float = param(
        2.5,
        "Scale of the reward, as in SimPO.",
        low=0,
        open_low=True,
        search=(0.05, 20.0, "log"),
    )
    target_margin: float = param(
        0.25,
        "Reward by which chosen must beat rejected before the loss drops below log 2 (gamma, not gamma / beta).",
        low=0,
        search=(0.0, 5.0, "linear"),
    )
    alpha: float = param(
        0.25,
        "Shape of the reward: above 0 steeper for unlikely completions, below 0 flatter, 0 SimPO's logarithm.",
        search=(-0.5, 0.5, "linear"),
    )
