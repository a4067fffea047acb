"""The APO-zero objective as a pure function of log-probabilities."""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms


def apo_zero_loss(policy: PairLogps, reference: PairLogps, *, beta: float) -> PairTerms:
    """Sigmoids of both implicit rewards: (B,) -> (B,).

        r    = beta * [log pi(y) - log ref(y)]
        loss = 1 - sigmoid(r_w) + sigmoid(r_l)

    Eq. 7 of arXiv 2408.06266, which leaves out the 1.
    """
    chosen, rejected = (beta * ratio for ratio in policy.minus(reference))
    return PairTerms((-chosen).sigmoid() + rejected.sigmoid(), chosen - rejected)
