"""Settings of f-DPO."""

from dataclasses import dataclass

from alignlab.method import PairConfig, check_choices, param

DIVERGENCES = ("reverse_kl", "forward_kl", "jensen_shannon", "alpha")


@dataclass(kw_only=True)
class FDPOConfig(PairConfig):
    """A divergence, and its price."""

    method: str = "f_dpo"
    name: str = "f_dpo"
    beta: float = param(
        0.1,
        "Price of the divergence from the reference; larger stays closer.",
        low=0,
        open_low=True,
        search=(0.01, 1.0, "log"),
    )
    divergence: str = param("reverse_kl", "What is priced: reverse_kl, forward_kl, jensen_shannon or alpha.")
    alpha: float = param(
        0.5,
        "Order of divergence=alpha, between reverse KL at 0 and forward KL at 1; the others ignore it.",
        low=0,
        high=1,
        open_low=True,
        open_high=True,
    )

    def __post_init__(self) -> None:
        """Ranges, then a known divergence."""
        super().__post_init__()
        check_choices(self, divergence=DIVERGENCES)
