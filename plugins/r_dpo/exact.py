"""Where R-DPO converges with every pair in its training set."""

from torch import Tensor

from alignlab.numerics.population import Population, bradley_terry_scores, tilted


def fixed_point(world: Population, *, beta: float, length_penalty: float) -> Tensor:
    """ref exp((r - alpha |y|) / beta): pi* of the reward less the price of length, pi* itself at equal lengths.

    The loss is the likelihood of labels under sigmoid(f_i - f_j + alpha (|y_i| - |y_j|)), f = beta log pi/ref. So
    f + alpha |y| are the Bradley-Terry scores of the labels up to a constant.
    """
    scores = bradley_terry_scores(world.preference, world.sampling)
    return tilted(world.reference, (scores - length_penalty * world.length) / beta)
