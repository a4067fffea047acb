"""Settings of best-of-n."""

from dataclasses import dataclass

from alignlab.method import SamplerConfig, param


@dataclass(kw_only=True)
class BestOfNConfig(SamplerConfig):
    """One number."""

    method: str = "best_of_n"
    name: str = "best_of_n"
    n: int = param(16, "Samples of which the highest-scored is kept; 1 is the SFT policy.", low=1)
