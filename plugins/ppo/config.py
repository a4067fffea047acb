"""Settings of PPO."""

from dataclasses import dataclass, replace

from alignlab.errors import ConfigError
from alignlab.method import Data, Needs, OnlineConfig, Reference, check_choices, param


@dataclass(kw_only=True)
class PPOConfig(OnlineConfig):
    """Defaults follow arXiv 2403.17031, the reproduction of PPO on summaries."""

    method: str = "ppo"
    name: str = "ppo"
    rollout_epochs: int = param(4, "Passes over each rollout.", low=1)
    clip: float = param(0.2, "Ratios further than this from 1 earn nothing.", low=0, open_low=True)
    dual_clip: float = param(0.0, "Bounds the ratio where the advantage is negative; 0 switches it off.", low=0)
    value_clip: float = param(0.2, "The same for the change of a value; 0 switches it off.", low=0)
    value_coef: float = param(0.1, "Weight of the value loss; AdamW undoes most of it: see value_lr_scale.", low=0)
    value_lr_scale: float = param(1.0, "Learning rate of the value model over that of the policy.", low=0)
    value_init: str = param("reward", "Start of the value model: the reward model's weights, or sft.")
    discount: float = param(1.0, "Discount of later rewards.", low=0, high=1)
    gae_lambda: float = param(0.95, "Bias-variance trade-off of the advantage.", low=0, high=1)
    whiten_advantages: bool = param(True, "Scale advantages to mean 0 and deviation 1 over the whole rollout.")
    kl_place: str = param("reward", "Where beta enters: reward (per token), or none.")
    kl_target: float | None = param(None, "KL in nats a completion that an adaptive beta aims at; null: fixed beta.")
    kl_horizon: float = param(10_000.0, "Samples over which the adaptive beta reacts.", low=1)
    ptx_weight: float = param(
        0.0, "Weight of the negative log-likelihood of demonstrations, a mean over tokens, added to the loss.", low=0
    )

    def needs(self, declared: Needs) -> Needs:
        """Demonstrations beside the prompts where they are imitated, and no reference without a price of KL."""
        if self.ptx_weight:
            declared = replace(declared, auxiliary=Data.DEMONSTRATIONS)
        return replace(declared, reference=Reference.NONE) if self.kl_place == "none" else declared

    def __post_init__(self) -> None:
        """Ranges, then the choices."""
        super().__post_init__()
        check_choices(self, value_init=("reward", "sft"), kl_place=("reward", "none"))
        if 0 < self.dual_clip <= 1:
            raise ConfigError(
                f"algo.dual_clip must be above 1, or 0 to switch it off, got {self.dual_clip}", "pass algo.dual_clip=3"
            )
        self._check_target()

    def _check_target(self) -> None:
        if self.kl_target is not None and self.kl_target <= 0:
            raise ConfigError(
                f"algo.kl_target must be positive, got {self.kl_target}", "pass algo.kl_target=null for a fixed beta"
            )
        if self.kl_target is not None and self.beta == 0:
            raise ConfigError(
                f"algo.kl_target={self.kl_target} cannot move algo.beta=0, which it multiplies", "pass algo.beta=0.05"
            )
        if self.kl_target is not None and self.kl_place == "none":
            raise ConfigError(
                f"algo.kl_target={self.kl_target} is for a price that algo.kl_place=none does not charge",
                "pass algo.kl_target=null",
            )
