"""Where REINFORCE converges with unlimited samples."""

from torch import Tensor

from alignlab.numerics.population import Population, tilted


def fixed_point(world: Population, *, beta: float) -> Tensor | None:
    """pi* = ref exp(r / beta) / Z: the gradient is that of E[r] - beta KL(pi || ref).

    A baseline from earlier rollouts changes no expectation; the mean of the same rollout of n completions shrinks the
    whole gradient by (n - 1) / n, which moves no fixed point.
    """
    return tilted(world.reference, world.reward / beta) if beta else None
