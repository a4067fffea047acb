"""Settings of EXO."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class EXOConfig(PairConfig):
    """The scale of the implicit reward, and how sure the target is."""

    method: str = "exo"
    name: str = "exo"
    beta: float = param(
        0.1,
        "Nats of log-ratio to units of implicit reward; larger stays closer to the reference.",
        low=0,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )
    label_smoothing: float = param(
        1e-3,
        "Probability the target leaves to the rejected completion; at 0 the KL is infinite.",
        low=0,
        high=0.5,
        open_low=True,
        open_high=True,
    )
