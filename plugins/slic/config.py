"""Settings of SLiC-HF."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class SLiCConfig(PairConfig):
    """The margin, and what holds the policy."""

    method: str = "slic"
    name: str = "slic"
    target_margin: float = param(
        1.0,
        "Lead of log pi(chosen) over log pi(rejected) at which a pair is left alone, in nats: delta of the paper.",
        low=0,
        search=(0.1, 10.0, "log"),
    )
    nll_weight: float = param(
        0.1,
        "Weight of the negative log-likelihood of chosen, a sum over its tokens: lambda of the paper.",
        low=0,
        search=(0.01, 1.0, "log"),
    )
