"""Settings of TDPO."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class TDPOConfig(PairConfig):
    """The price of KL, and how the difference of token-level KL enters the margin."""

    method: str = "tdpo"
    name: str = "tdpo"
    beta: float = param(
        0.1,
        "Price of KL to the reference; larger stays closer.",
        low=0,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )
    kl_weight: float = param(
        0.5,
        "Weight of the KL along rejected less that along chosen (alpha); at 0 this is DPO.",
        low=0,
        search=(0.05, 2.0, "log"),
    )
    chosen_kl_constant: bool = param(True, "Leave the KL along chosen without gradient, so that nothing raises it.")
