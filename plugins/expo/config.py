"""Settings of weight extrapolation."""

from dataclasses import dataclass
from typing import Any

from alignlab.method import SamplerConfig, param


@dataclass(kw_only=True)
class ExPOConfig(SamplerConfig):
    """One weight, and the method whose policy marks the line."""

    method: str = "expo"
    name: str = "expo"
    aligned_weight: float = param(
        1.3,
        "Weight of the aligned policy: 0 is SFT, 1 the policy itself; above 1 it is 1 + alpha of the paper.",
        search=(0.25, 2.0, "linear"),
    )
    policy: Any = param(None, "Settings of the method that trains the aligned policy, chosen by algo@algo.policy=NAME.")
