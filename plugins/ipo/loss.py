"""The IPO objective as a pure function of log-probabilities.

The general Psi-PO objective is left out: of its members only this one and DPO have a loss on stored pairs.
"""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms


def ipo_loss(policy: PairLogps, reference: PairLogps, *, beta: float) -> PairTerms:
    """Squared distance of the log-ratio margin from its target: (B,) each.

        h    = [log pi(y_w) - log ref(y_w)] - [log pi(y_l) - log ref(y_l)]
        loss = (h - 1 / (2 beta))^2

    Eq. 17 of arXiv 2310.12036, beta its tau. h is in nats of whole completions, or per token where log-probabilities
    come as means; the reported margin is beta h, whose target is 1/2.
    """
    difference = policy.margin - reference.margin
    return PairTerms((difference - 1 / (2 * beta)) ** 2, beta * difference)
