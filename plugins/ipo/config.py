"""Settings of IPO."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class IPOConfig(PairConfig):
    """One hyper-parameter; whether log-ratios are sums or means is `length_normalised`."""

    method: str = "ipo"
    name: str = "ipo"
    beta: float = param(
        0.1,
        "Price of KL, tau of the paper: the target margin is 1 / (2 beta) nats; larger stays closer to the reference.",
        low=0,
        open_low=True,
        search=(0.01, 10.0, "log"),
    )
