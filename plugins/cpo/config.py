"""Settings of CPO."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class CPOConfig(PairConfig):
    """The weight of the likelihood of chosen is `sft_weight`."""

    method: str = "cpo"
    name: str = "cpo"
    beta: float = param(
        0.1,
        "Reward of one nat of log-probability of a whole completion.",
        low=0,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )
