"""Settings of R-DPO."""

from dataclasses import dataclass

from alignlab.errors import ConfigError
from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class RDPOConfig(PairConfig):
    """The price of KL and the price of length."""

    method: str = "r_dpo"
    name: str = "r_dpo"
    beta: float = param(
        0.1,
        "Price of KL to the reference; larger stays closer.",
        low=0,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )
    length_penalty: float = param(
        0.01,
        "Price of one token in units of reward (alpha); at 0 this is DPO.",
        low=0,
        search=(0.001, 1.0, "log"),
    )

    def __post_init__(self) -> None:
        """Ranges, then a modifier that would silently remove the price."""
        super().__post_init__()
        if self.length_normalised:
            raise ConfigError(
                "algo.length_normalised=true leaves algo.length_penalty nothing to price: every length becomes 1",
                "choose one",
            )
