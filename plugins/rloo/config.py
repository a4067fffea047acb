"""Settings of RLOO."""

from dataclasses import dataclass

from alignlab.errors import ConfigError
from alignlab.method import OnlineConfig, check_choices, param

CHOICES = {
    "kl_place": ("reward", "advantage"),
    "surrogate": ("reinforce", "sequence_clip", "token_clip"),
}
"""Every value of the settings that are names."""


@dataclass(kw_only=True)
class RLOOConfig(OnlineConfig):
    """Where KL enters, and what bounds an update."""

    method: str = "rloo"
    name: str = "rloo"
    group_size: int = param(4, "Completions of one prompt, each judged against the others.", low=2)
    kl_place: str = param(
        "reward", "Where beta enters: reward (of the completion, before the baseline) or advantage (after, to go)."
    )
    surrogate: str = param("reinforce", "No bound on an update, or PPO's clip of the ratio of sequences or of tokens.")
    clip: float = param(
        0.2, "Ratios further than this from 1 earn nothing, where they are clipped.", low=0, open_low=True
    )

    def __post_init__(self) -> None:
        """Ranges, then the choices."""
        super().__post_init__()
        check_choices(self, **CHOICES)
        if self.surrogate == "sequence_clip" and self.kl_place == "advantage":
            raise ConfigError(
                "algo.surrogate=sequence_clip has one advantage a completion, and algo.kl_place=advantage one a token",
                "pass algo.kl_place=reward",
            )
