"""Settings of NCA."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class NCAConfig(PairConfig):
    """One hyper-parameter."""

    method: str = "nca"
    name: str = "nca"
    beta: float = param(
        0.01,
        "Nats of log-ratio to units of implicit reward; larger stays closer to the reference.",
        low=0,
        open_low=True,
        search=(0.001, 1.0, "log"),
    )
