"""The IPO objective as a pure function of log-probabilities."""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms


def ipo_loss(policy: PairLogps, reference: PairLogps, *, beta: float) -> PairTerms:
    """Squared distance of each pair's log-ratio margin from 1 / (2 beta), (B,).

    margin = log pi/ref(y_w) - log pi/ref(y_l), in nats. Eq. 17 of arXiv 2310.12036, beta for their tau.
    """
    margin = policy.margin - reference.margin
    return PairTerms((margin - 1 / (2 * beta)) ** 2, beta * margin)
