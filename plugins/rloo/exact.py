"""Where RLOO converges with unlimited samples."""

from torch import Tensor

from alignlab.numerics.population import Population, tilted


def fixed_point(world: Population, *, beta: float) -> Tensor | None:
    """pi* = ref exp(r / beta) / Z: the gradient is that of E[r] - beta KL(pi || ref), whatever the size of groups.

    The mean of the others is independent of the completion it is taken from, so that it changes no expectation. KL in
    the reward is that of the whole completion, or of what is still to come at each token: either is exact.
    """
    return tilted(world.reference, world.reward / beta) if beta else None
