"""Settings of MPO."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class MPOConfig(PairConfig):
    """The scale of the implicit reward, and the weights of the three parts."""

    method: str = "mpo"
    name: str = "mpo"
    beta: float = param(
        0.1,
        "Nats of log-ratio to units of implicit reward; larger stays closer to the reference.",
        low=0,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )
    preference_weight: float = param(0.8, "Weight of the part that orders the pair (DPO).", low=0)
    quality_weight: float = param(
        0.2, "Weight of the part that calls chosen good and rejected bad (BCO).", low=0, search=(0.05, 2.0, "log")
    )
    sft_weight: float = param(
        1.0,
        "Weight of the part that writes chosen: its negative log-likelihood, a mean over its tokens.",
        low=0,
        search=(0.05, 2.0, "log"),
    )
