"""Where AlphaPO converges with every pair in its training set."""

from torch import Tensor

from alignlab.numerics.population import Population, bradley_terry_scores, normalised


def fixed_point(world: Population, *, beta: float, target_margin: float, alpha: float) -> Tensor | None:
    """p^-alpha = 1 - alpha (r + c) / beta for p = pi^(1 / |y|): no reference; no closed form with a target margin.

    As for SimPO the reward g = beta (1 - p^-alpha) / alpha must equal the Bradley-Terry scores of the labels up to a
    constant of the prompt, the one at which probabilities sum to 1.
    """
    if target_margin:
        return None
    scores = bradley_terry_scores(world.preference, world.sampling)
    if alpha == 0:
        return (world.length * scores / beta).log_softmax(-1)

    def family(level: Tensor) -> Tensor:
        power = 1 - alpha * (scores - level) / beta
        return -world.length * power.clamp_min(1e-300).log() / alpha

    return normalised(family, len(scores))
