"""Where DPO converges with every pair in its training set."""

from torch import Tensor

from alignlab.numerics.population import Population, bradley_terry_scores, is_bradley_terry, tilted


def fixed_point(
    world: Population, *, beta: float, label_smoothing: float, length_normalised: bool, on_policy_weight: bool
) -> Tensor | None:
    """ref exp(s / beta), s the Bradley-Terry scores of the labels: pi* where labels are Bradley-Terry of r.

    The loss is the negative log-likelihood of labels under P(i > j) = sigmoid(f_i - f_j) with f = beta log pi/ref, and
    every f is reached by some policy. So f = s + const(x), s the maximum likelihood scores. Labels that follow
    sigmoid(r_i - r_j) give s = r whatever the weights of pairs. Smoothed labels (1 - eps) P + eps (1 - P) follow no
    scores exactly: the best fit is closer to the reference, and depends on the weights. Of mean log-probabilities the
    same holds with f / |y|.
    """
    smoothed = (1 - label_smoothing) * world.preference + label_smoothing * (1 - world.preference)
    scores = bradley_terry_scores(smoothed, world.sampling)
    if on_policy_weight and not is_bradley_terry(smoothed, scores):
        return None  # pairs weigh as much as the policy that is sought would have it
    length = world.length if length_normalised else 1
    return tilted(world.reference, length * scores / beta)
