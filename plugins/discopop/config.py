"""Settings of DiscoPOP."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class DiscoPOPConfig(PairConfig):
    """The scale of the implicit reward, and how fast one loss gives way to the other."""

    method: str = "discopop"
    name: str = "discopop"
    beta: float = param(
        0.05,
        "Nats of log-ratio to units of implicit reward; larger stays closer to the reference.",
        low=0,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )
    temperature: float = param(
        0.05,
        "Width of the blend in units of the margin; above 1 the loss would grow exponentially on wrong pairs.",
        low=0,
        high=1,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )
