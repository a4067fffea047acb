"""The APO-down objective as a pure function of log-probabilities."""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms


def apo_down_loss(policy: PairLogps, reference: PairLogps, *, beta: float) -> PairTerms:
    """Sigmoids of the implicit reward of chosen and of its lead: (B,) -> (B,).

        r    = beta * [log pi(y) - log ref(y)]
        loss = sigmoid(r_w) + 1 - sigmoid(r_w - r_l)

    Eq. 8 of arXiv 2408.06266, which leaves out the 1.
    """
    chosen, rejected = (beta * ratio for ratio in policy.minus(reference))
    margin = chosen - rejected
    return PairTerms(chosen.sigmoid() + (-margin).sigmoid(), margin)
