"""Where APO-zero converges with every pair in its training set."""

from torch import Tensor

from alignlab.numerics.population import Population, kept_winners


def fixed_point(world: Population, *, beta: float) -> Tensor | None:
    """Nothing is left of completions that lose more than half their pairs; the others share what there is.

    A completion is chosen in a share p of its pairs, so that its part of the loss is -mu (2p - 1) sigmoid(beta rho)
    up to a constant, rho = log pi/ref. For beta < 1 that is convex in the probabilities of those with p > 1/2, and
    rises with that of every other: log-ratios of losers run to minus infinity. From beta = 1 on there may be
    several minima.
    """
    return kept_winners(world, 2 * world.wins - 1, beta) if beta < 1 else None
