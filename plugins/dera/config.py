"""Settings of DeRa."""

from dataclasses import dataclass
from typing import Any

from alignlab.method import SamplerConfig, param


@dataclass(kw_only=True)
class DeRaConfig(SamplerConfig):
    """One weight, and the method whose policy is mixed with the reference."""

    method: str = "dera"
    name: str = "dera"
    aligned_weight: float = param(
        0.5,
        "Weight of the aligned policy (the paper's lambda): 0 is SFT, 1 the policy itself, above 1 beyond it.",
        search=(0.25, 2.0, "linear"),
    )
    policy: Any = param(None, "Settings of the method that trains the aligned policy, chosen by algo@algo.policy=NAME.")
