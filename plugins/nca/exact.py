"""Where NCA converges with every pair in its training set."""

from torch import Tensor

from alignlab.numerics.population import Population, apart


def fixed_point(world: Population, *, beta: float) -> Tensor:
    """ref (2 p(y > mu))^(1 / beta) as far as it sums to 1, as it does for beta = 1 and pairs from the reference.

    A completion is chosen in a share p of its pairs, so that its part of the loss is mu times
    -p log sigmoid(r) - 1/2 log sigmoid(-r), r = beta log pi/ref, least at r = log 2p. What these ratios lack to a
    distribution is shared out by the multiplier of sum pi = 1.
    """

    def slope(rho: Tensor) -> Tensor:
        return beta * (world.wins * (-beta * rho).sigmoid() - 0.5 * (beta * rho).sigmoid())

    return apart(world, slope)
