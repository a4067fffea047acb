"""Settings of GRPO."""

from __future__ import annotations

from dataclasses import dataclass, replace

from alignlab.errors import ConfigError
from alignlab.method import Needs, OnlineConfig, Reference, check_choices, param

CHOICES = {
    "aggregate": ("sequence", "token", "constant"),
    "baseline": ("mean", "leave_one_out"),
    "advantage_std": ("group", "leave_one_out", "batch", "none"),
    "ratio": ("token", "sequence"),
    "surrogate": ("clipped", "cispo"),
    "kl_place": ("loss", "reward", "advantage", "none"),
    "kl_estimator": ("k1", "k2", "k3"),
    "kl_weight": ("none", "ratio"),
    "zero_std": ("keep", "drop"),
}
"""Every value of the settings that are names."""


@dataclass(kw_only=True)
class GRPOConfig(OnlineConfig):
    """Each setting in which variants of GRPO differ, by a name of its own."""

    method: str = "grpo"
    name: str = "grpo"
    group_size: int = param(8, "Completions of one prompt, compared with each other.", low=2)
    baseline: str = param("mean", "Taken from each reward: mean of its group, or leave_one_out, of the others.")
    advantage_std: str = param(
        "group", "Deviation that advantages are divided by: of the group, leave_one_out, of the batch, or none."
    )
    std_eps: float = param(1e-6, "Added to that deviation.", low=0)
    aggregate: str = param(
        "sequence",
        "Mean over sequence (of means over its tokens), over token, or constant: sums over length_limit.",
    )
    ratio: str = param("token", "Probability ratio of each token, or of the sequence as a geometric mean (GSPO).")
    surrogate: str = param("clipped", "PPO's clipped objective, or cispo: REINFORCE with a bounded constant weight.")
    clip_low: float = param(0.2, "Ratios below 1 less this are clipped; 1 sets no bound.", low=0, open_low=True, high=1)
    clip_high: float = param(0.2, "Ratios above 1 plus this are clipped.", low=0, open_low=True)
    dual_clip: float = param(0.0, "Bounds the ratio where the advantage is negative; 0 switches it off.", low=0)
    kl_place: str = param(
        "loss",
        "Where beta enters: loss, reward (before the baseline), advantage (after, with return-to-go), or none.",
    )
    kl_estimator: str = param("k3", "Estimate of a token's KL: k1 = log pi/ref, k2 = k1^2 / 2, k3 = ref/pi - 1 + k1.")
    kl_weight: str = param("none", "Weight of that estimate in the loss: ratio makes its gradient that of KL.")
    overlong_penalty: float = param(0.0, "Most that is taken from the reward of a completion for its length.", low=0)
    overlong_buffer: float = param(
        0.2, "Last share of length_limit, over which that penalty rises from 0.", low=0, high=1, open_low=True
    )
    length_limit: int = param(0, "Tokens; 0 takes the length limit of sampling.", low=0)
    zero_std: str = param("keep", "Groups whose rewards do not vary: keep, or drop their tokens from the mean.")

    def needs(self, declared: Needs) -> Needs:
        """Without a price of KL no reference is loaded."""
        return replace(declared, reference=Reference.NONE) if self.kl_place == "none" else declared

    def __post_init__(self) -> None:
        """Ranges, then the choices and what cannot be combined."""
        super().__post_init__()
        check_choices(self, **CHOICES)
        for wrong, message, remedy in self._conflicts():
            if wrong:
                raise ConfigError(message, remedy)

    def _conflicts(self) -> tuple[tuple[bool, str, str], ...]:
        return (
            (
                0 < self.dual_clip <= 1,
                f"algo.dual_clip must be above 1, or 0 to switch it off, got {self.dual_clip}",
                "pass algo.dual_clip=3",
            ),
            (
                self.dual_clip > 0 and self.surrogate == "cispo",
                f"algo.dual_clip={self.dual_clip} bounds the clipped objective, and algo.surrogate=cispo is another",
                "pass algo.dual_clip=0",
            ),
            (
                self.advantage_std == "leave_one_out" and self.group_size < 3,
                f"algo.advantage_std=leave_one_out needs two others, and algo.group_size={self.group_size}",
                "pass algo.group_size=3 or more",
            ),
            (
                self.kl_weight == "ratio" and self.kl_place != "loss",
                f"algo.kl_weight=ratio weighs a KL in the loss, and algo.kl_place={self.kl_place}",
                "pass algo.kl_weight=none",
            ),
            (
                self.zero_std == "drop" and self.aggregate != "token",
                f"algo.zero_std=drop leaves tokens out of a mean over tokens, and algo.aggregate={self.aggregate}",
                "pass algo.zero_std=keep: without varying rewards the advantage is 0 either way",
            ),
        )
