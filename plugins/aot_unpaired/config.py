"""Settings of unpaired AOT."""

from dataclasses import dataclass

from alignlab.errors import ConfigError
from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class AOTUnpairedConfig(PairConfig):
    """One hyper-parameter, and a batch size that is another."""

    method: str = "aot_unpaired"
    name: str = "aot_unpaired"
    beta: float = param(
        0.01,
        "Steepness of the loss in nats of a whole completion; larger stays closer to the reference.",
        low=0,
        open_low=True,
        search=(0.003, 1.0, "log"),
    )

    def __post_init__(self) -> None:
        """Ranges, then a modifier that has no meaning here."""
        super().__post_init__()
        if self.on_policy_weight:
            raise ConfigError(
                "algo.on_policy_weight=true weighs pairs, but this objective compares a sorted batch",
                "pass algo.on_policy_weight=false",
            )
