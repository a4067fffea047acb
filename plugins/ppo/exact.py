"""Where PPO converges with unlimited samples."""

from torch import Tensor

from alignlab.numerics.population import Population, tilted


def fixed_point(
    world: Population, *, beta: float, discount: float, kl_place: str, kl_target: float | None
) -> Tensor | None:
    """Near pi* = ref exp(r / beta) / Z, the maximum of E[r] - beta KL(pi || ref).

    With returns -beta log pi/ref + r the policy gradient is that of the objective, and whitening only scales it by the
    same number everywhere. Clipping, values that are not exact and lambda < 1 bend single updates; none of them pulls
    at pi*, where every advantage is 0 but for the noise of the value model.
    """
    if discount < 1 or kl_place != "reward" or kl_target is not None or not beta:
        return None
    return tilted(world.reference, world.reward / beta)
