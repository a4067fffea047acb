"""Where SPPO converges with every pair in its training set."""

from torch import Tensor

from alignlab.numerics.population import Population, apart


def fixed_point(world: Population, *, beta: float) -> Tensor:
    """ref exp((p(y > mu) - 1/2) / beta) as far as it sums to 1: close to IPO's, without its normaliser.

    A completion is chosen in a share p of its pairs, so that its part of the loss is mu times
    (rho - (p - 1/2) / beta)^2 up to a constant, rho = log pi/ref. The loss does not know that probabilities sum to 1;
    the multiplier of that constraint moves each ratio, those of likely completions most.
    """

    def slope(rho: Tensor) -> Tensor:
        return 2 * ((world.wins - 0.5) / beta - rho)

    return apart(world, slope)
