"""Where KTO converges with every completion in its training set."""

from torch import Tensor

from alignlab.numerics.population import Population, kept_winners


def fixed_point(world: Population, *, beta: float, lambda_desirable: float, lambda_undesirable: float) -> Tensor | None:
    """Nothing is left of completions that are mostly judged undesirable; the others share what there is.

    A completion that is desirable with probability p has the loss
    -[lambda_D p - lambda_U (1 - p)] sigmoid(beta (rho - z0)) up to a constant, rho = log pi/ref. Where the bracket is
    negative rho runs to minus infinity, which takes the mean of log-ratios and with it z0 to its floor of 0. The others
    share what there is, for beta < 1 in one way only. Saturation makes it a long way.
    """
    lead = lambda_desirable * world.wins - lambda_undesirable * (1 - world.wins)
    return kept_winners(world, lead, beta) if beta < 1 else None
