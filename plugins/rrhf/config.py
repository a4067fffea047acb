"""Settings of RRHF."""

from dataclasses import dataclass

from alignlab.method import PairConfig


@dataclass(kw_only=True)
class RRHFConfig(PairConfig):
    """No hyper-parameter of its own: `sft_weight` sets the balance of imitation and ranking."""

    method: str = "rrhf"
    name: str = "rrhf"
