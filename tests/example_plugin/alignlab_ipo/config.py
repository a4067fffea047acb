"""Settings of IPO and of brevity."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param
from alignlab.rewards.config import RewardConfig


@dataclass(kw_only=True)
class IPOConfig(PairConfig):
    """One hyper-parameter."""

    method: str = "ipo_example"
    name: str = "ipo_example"
    beta: float = param(
        0.1,
        "Price of KL to the reference: margins are drawn to 1 / (2 beta).",
        low=0,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )


@dataclass(kw_only=True)
class BrevityConfig(RewardConfig):
    """One price."""

    kind: str = "brevity"
    per_token: float = param(0.1, "Price of a token.", low=0)
    reads_text = reads_source = False
