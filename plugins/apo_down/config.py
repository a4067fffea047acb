"""Settings of APO-down."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class APODownConfig(PairConfig):
    """One hyper-parameter, and a learning rate searched from lower on than elsewhere: the paper's is 2e-7."""

    method: str = "apo_down"
    name: str = "apo_down"
    lr: float = param(2e-7, "Peak learning rate of AdamW.", low=0, open_low=True, search=(1e-7, 3e-3, "log"))
    beta: float = param(
        0.1,
        "Nats of log-ratio to units of implicit reward; larger stays closer to the reference.",
        low=0,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )
