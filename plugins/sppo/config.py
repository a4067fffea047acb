"""Settings of SPPO."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class SPPOConfig(PairConfig):
    """One hyper-parameter."""

    method: str = "sppo"
    name: str = "sppo"
    beta: float = param(
        0.001,
        "Price of KL in units of win probability, 1/eta of the paper: the targets are 1/(2 beta) nats away.",
        low=0,
        open_low=True,
        search=(1e-4, 1.0, "log"),
    )
