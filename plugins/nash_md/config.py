"""Settings of Nash-MD."""

from dataclasses import dataclass

from alignlab.method import OnlineConfig, param


@dataclass(kw_only=True)
class NashMDConfig(OnlineConfig):
    """The opponent, and what drift costs."""

    method: str = "nash_md"
    name: str = "nash_md"
    rollout_epochs: int = param(
        1, "Passes over each rollout: one, since the gradient holds for the policy that sampled.", low=1, high=1
    )
    minibatches: int = param(
        1, "Updates in one pass: one, since the gradient holds for the policy that sampled.", low=1, high=1
    )
    beta: float = param(
        0.008,
        "Price of KL(policy || reference), in probability of winning per nat of a whole completion.",
        low=0,
        search=(1e-3, 0.2, "log"),
    )
    mixture: float = param(
        0.125,
        "Share of the reference in the opponent's log-probabilities; 0 plays itself, 1 the reference.",
        low=0,
        high=1,
        search=(0.0, 0.75, "linear"),
    )
    kl_discount: float = param(
        1.0, "Discount of later tokens' KL in what a token pays; below 1 is no gradient of the KL.", low=0, high=1
    )
