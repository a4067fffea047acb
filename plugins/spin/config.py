"""Settings of SPIN."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class SPINConfig(PairConfig):
    """How far one iteration may go, and how long it is."""

    method: str = "spin"
    name: str = "spin"
    beta: float = param(
        0.1,
        "Price of KL to the opponent of the iteration (lambda); larger stays closer to it.",
        low=0,
        open_low=True,
        search=(0.01, 5.0, "log"),
    )
    reference_every: int = param(
        1000, "Updates in one iteration: after so many the policy becomes opponent and reference; 0 never moves.", low=0
    )
