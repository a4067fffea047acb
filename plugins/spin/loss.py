"""The SPIN objective as a pure function of log-probabilities."""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def spin_loss(policy: PairLogps, reference: PairLogps, *, beta: float) -> PairTerms:
    """Logistic loss of telling a demonstration (chosen) from a sample of the opponent (rejected): (B,) -> (B,).

        loss = -log sigmoid(beta * [log pi/pi_t(y) - log pi/pi_t(y')])

    Eq. 4.7 of arXiv 2401.01335, beta written lambda; the reference is the opponent pi_t.
    """
    margin = beta * (policy.margin - reference.margin)
    return PairTerms(bradley_terry(margin), margin)
