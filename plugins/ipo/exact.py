"""Where IPO converges with every pair in its training set."""

from torch import Tensor

from alignlab.numerics.population import Population, tilted


def fixed_point(world: Population, *, beta: float, length_normalised: bool) -> Tensor:
    """ref exp(p(y > mu) / tau): tilted by how often a completion wins, not by its reward.

    Over both orders of a pair the loss is (h_ij - (2 P_ij - 1) / (2 tau))^2 + const with h_ij = f_i - f_j and
    f = log pi/ref. Least squares over mu x mu with an antisymmetric target is solved by its row means:
    f_i = (p_i - 1/2) / tau up to a constant, p_i = sum_j mu_j P_ij, the optimum of the objective of arXiv 2310.12036.
    Of mean log-probabilities the same holds for f / |y|.
    """
    length = world.length if length_normalised else 1
    return tilted(world.reference, length * world.wins / beta)
