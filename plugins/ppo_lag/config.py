"""Settings of PPO-Lagrangian."""

from dataclasses import dataclass, replace

from alignlab.errors import ConfigError
from alignlab.method import Data, Needs, OnlineConfig, check_choices, param


@dataclass(kw_only=True)
class LagrangianConfig(OnlineConfig):
    """Defaults of the constraint follow the script of arXiv 2310.12773."""

    method: str = "ppo_lag"
    name: str = "ppo_lag"
    threshold: float = param(0.0, "Expected cost that the policy may reach; 0 is the border of harm.")
    multiplier: float = param(
        1.0,
        "Price of cost in units of reward at the start (lambda).",
        low=0,
        open_low=True,
        search=(0.1, 5.0, "log"),
    )
    multiplier_lr: float = param(0.1, "Step of log lambda; 0 keeps the price where it starts.", low=0)
    multiplier_max: float = param(5.0, "Largest lambda.", low=0, open_low=True)
    multiplier_delay: int = param(0, "Iterations before lambda first moves.", low=0)
    cost_window: int = param(8, "Rollouts over which the mean cost of the constraint is taken.", low=1)
    clip: float = param(0.2, "Ratios further than this from 1 earn nothing.", low=0, open_low=True)
    value_clip: float = param(5.0, "The same for the change of a value; 0 switches it off.", low=0)
    value_lr_scale: float = param(1.0, "Learning rate of both value models over that of the policy.", low=0)
    value_init: str = param("reward", "Start of each value model: the reward or cost model (reward), or sft.")
    score_limit: float = param(50.0, "Token rewards and costs are held within this; 0 leaves them.", low=0)
    discount: float = param(1.0, "Discount of later rewards.", low=0, high=1)
    gae_lambda: float = param(0.95, "Bias-variance trade-off of the advantages.", low=0, high=1)
    whiten_advantages: bool = param(False, "Scale combined advantages to mean 0 and deviation 1 over the rollout.")
    ptx_weight: float = param(
        0.0, "Weight of the negative log-likelihood of demonstrations, a mean over tokens, added to the loss.", low=0
    )

    def needs(self, declared: Needs) -> Needs:
        """Demonstrations beside the prompts, where they are imitated."""
        return replace(declared, auxiliary=Data.DEMONSTRATIONS) if self.ptx_weight else declared

    def __post_init__(self) -> None:
        """Ranges, then the choices."""
        super().__post_init__()
        check_choices(self, value_init=("reward", "sft"))
        if self.multiplier > self.multiplier_max:
            raise ConfigError(
                f"algo.multiplier={self.multiplier:g} starts above algo.multiplier_max={self.multiplier_max:g}",
                "raise the second",
            )
