"""Where robust DPO converges with every pair in its training set."""

from torch import Tensor

from alignlab.numerics.population import Population, bradley_terry_scores, tilted


def fixed_point(world: Population, *, beta: float, flip_rate: float) -> Tensor:
    """ref exp(s / beta), s the scores of the labels less their flips: pi* where the flip rate is the true one.

    The corrected loss is linear in the label, so that its mean over labels P is DPO's at (P - eps) / (1 - 2 eps). Of
    labels that are flipped with probability eps that is the unflipped P, whose Bradley-Terry scores are r. Where fewer
    are flipped it overshoots, and may leave [0, 1]: the stationary point of the likelihood, which only reads row sums,
    stays finite.
    """
    restored = (world.preference - flip_rate) / (1 - 2 * flip_rate)
    return tilted(world.reference, bradley_terry_scores(restored, world.sampling) / beta)
