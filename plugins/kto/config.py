"""Settings of KTO."""

from dataclasses import dataclass

from alignlab.errors import ConfigError
from alignlab.method import OfflineConfig, param


@dataclass(kw_only=True)
class KTOConfig(OfflineConfig):
    """How soon utility saturates, and what the two verdicts weigh."""

    method: str = "kto"
    name: str = "kto"
    beta: float = param(
        0.1,
        "Steepness of the utility in nats of a whole completion; larger saturates sooner and stays closer.",
        low=0,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )
    lambda_desirable: float = param(1.0, "Weight of completions judged desirable.", low=0)
    lambda_undesirable: float = param(1.0, "Weight of completions judged undesirable.", low=0)

    def __post_init__(self) -> None:
        """Ranges, then that something is left to learn."""
        super().__post_init__()
        if not self.lambda_desirable and not self.lambda_undesirable:
            raise ConfigError(
                "algo.lambda_desirable=0 and algo.lambda_undesirable=0 leave nothing to learn",
                "give one of them a weight above 0",
            )
