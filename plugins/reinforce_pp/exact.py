"""Where REINFORCE++ converges with unlimited samples."""

from torch import Tensor

from alignlab.numerics.population import Population, tilted


def fixed_point(
    world: Population, *, beta: float, baseline: str, group_size: int, kl_place: str, kl_estimator: str
) -> Tensor | None:
    """ref exp(r / beta') / Z with KL in the reward: pi*, or with the mean of groups of G, beta' = beta G / (G - 1).

    Whitening scales the gradient by one number everywhere. The mean of a group, the completion's own reward included,
    shrinks the reward's part by (G - 1) / G and not KL's. With KL in the loss whitening scales the reward's part alone,
    so that beta is in units of a deviation that changes as the policy does: no closed form.
    """
    if kl_place != "reward" or kl_estimator != "k1" or not beta:
        return None
    price = beta * group_size / (group_size - 1) if baseline == "mean" else beta
    return tilted(world.reference, world.reward / price)
