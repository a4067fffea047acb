"""Where SimPO converges with every pair in its training set."""

from torch import Tensor

from alignlab.numerics.population import Population, bradley_terry_scores


def fixed_point(world: Population, *, beta: float, target_margin: float) -> Tensor | None:
    """softmax(|y| r / beta), from which the reference has vanished; no closed form with a target margin.

    Without a margin the loss is the likelihood of labels under P(i > j) = sigmoid(g_i - g_j), g = beta log pi / |y|. So
    g = s + c_x, s the Bradley-Terry scores of the labels, and pi = exp(|y| (s + c_x) / beta) with c_x such that it sums
    to 1; completions of one length make that a softmax. With a margin, each pair asks for a difference that no g gives
    to all pairs at once.
    """
    if target_margin:
        return None
    scores = bradley_terry_scores(world.preference, world.sampling)
    return (world.length * scores / beta).log_softmax(-1)
