"""Settings of the hinge loss."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class HingeConfig(PairConfig):
    """One hyper-parameter."""

    method: str = "hinge"
    name: str = "hinge"
    beta: float = param(
        0.1,
        "Inverse of the margin asked for, in nats of a whole completion; larger stays closer to the reference.",
        low=0,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )
