"""The pairwise NCA objective as a pure function of log-probabilities."""

from torch.nn.functional import logsigmoid

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms


def nca_loss(policy: PairLogps, reference: PairLogps, *, beta: float) -> PairTerms:
    """Noise contrast of each completion with the reference as noise: (B,) -> (B,).

        r    = beta * [log pi(y) - log ref(y)]
        loss = -log sigmoid(r_w) - 1/2 log sigmoid(-r_w) - 1/2 log sigmoid(-r_l)

    The loss over K rewarded completions of arXiv 2402.05369 at K = 2 where all the weight is on y_w. Averaged over
    both orders of a soft label p it is the same loss with weights (p, 1 - p).
    """
    chosen, rejected = (beta * ratio for ratio in policy.minus(reference))
    loss = -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)
    return PairTerms(loss, chosen - rejected)
