"""Settings of ORPO."""

from dataclasses import dataclass

from alignlab.method import PairConfig, param


@dataclass(kw_only=True)
class ORPOConfig(PairConfig):
    """The weight of the likelihood of chosen is `sft_weight`."""

    method: str = "orpo"
    name: str = "orpo"
    odds_weight: float = param(
        0.1,
        "Weight of the log odds ratio beside the likelihood of chosen (lambda in the paper, beta in TRL).",
        low=0,
        open_low=True,
        search=(0.03, 3.0, "log"),
    )
