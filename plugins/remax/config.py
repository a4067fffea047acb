"""Settings of ReMax."""

from dataclasses import dataclass

from alignlab.method import OnlineConfig, check_choices, param

CREDITS = ("immediate", "to_go")


@dataclass(kw_only=True)
class ReMaxConfig(OnlineConfig):
    """How rewards and KL reach the tokens."""

    method: str = "remax"
    name: str = "remax"
    discount: float = param(1.0, "Discount of rewards that come later.", low=0, high=1)
    kl_credit: str = param(
        "immediate", "A token answers for its own KL (immediate) or for all that follows (to_go), KL's own gradient."
    )

    def __post_init__(self) -> None:
        """Ranges, then the choice of credit."""
        super().__post_init__()
        check_choices(self, kl_credit=CREDITS)
