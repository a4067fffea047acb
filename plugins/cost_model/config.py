"""Settings of the cost model."""

from dataclasses import dataclass

from alignlab.method import OfflineConfig, param


@dataclass(kw_only=True)
class CostModelConfig(OfflineConfig):
    """Order and sign of harm."""

    method: str = "cost_model"
    name: str = "cost_model"
    regularisation: float = param(0.001, "Weight of the mean of both squared scores.", low=0)
