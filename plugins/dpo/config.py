"""Settings of DPO."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class DPOConfig(PairConfig):
    """One hyper-parameter, and one for noisy labels; most variants of DPO are settings that all pair methods share."""

    method: str = "dpo"
    name: str = "dpo"
    beta: float = param(
        0.1,
        "Price of KL to the reference; larger stays closer. At 0 the loss is constant and nothing is learned.",
        low=0,
        open_low=True,
        search=(0.01, 10.0, "log"),
    )
    label_smoothing: float = param(
        0.0, "Assumed probability that a label is flipped (conservative DPO).", low=0, high=0.5, open_high=True
    )
