"""Settings of robust DPO."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class RobustDPOConfig(PairConfig):
    """DPO's beta, and how many labels are thought to be wrong."""

    method: str = "robust_dpo"
    name: str = "robust_dpo"
    beta: float = param(
        0.1,
        "Price of KL to the reference; larger stays closer.",
        low=0,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )
    flip_rate: float = param(
        0.1,
        "Assumed probability that a label is flipped, the same for every pair; 0 is DPO.",
        low=0,
        high=0.5,
        open_high=True,
        search=(0.0, 0.4, "linear"),
    )
