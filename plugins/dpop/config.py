"""Settings of DPOP."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class DPOPConfig(PairConfig):
    """The price of KL, and of losing the chosen completion."""

    method: str = "dpop"
    name: str = "dpop"
    beta: float = param(
        0.3,
        "Price of KL to the reference; larger stays closer.",
        low=0,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )
    penalty: float = param(
        50.0,
        "Margin lost for each nat chosen falls below the reference (lambda); at 0 this is DPO.",
        low=0,
        search=(0.5, 500.0, "log"),
    )
