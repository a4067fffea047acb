"""The normalised hinge objective as a pure function of log-probabilities.

Statistical rejection sampling of the pairs is left out: it makes data, with a reward model, before training starts.
"""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms


def hinge_loss(policy: PairLogps, reference: PairLogps, *, beta: float) -> PairTerms:
    """What is missing to a margin of 1 / beta nats, in units of it: (B,) each.

        z    = beta * [(log pi(y_w) - log ref(y_w)) - (log pi(y_l) - log ref(y_l))]
        loss = max(0, 1 - z)

    The hinge-norm loss of arXiv 2309.06657, beta its gamma. At z = 1 the gradient is taken to be 0.
    """
    margin = beta * (policy.margin - reference.margin)
    return PairTerms((1 - margin).relu(), margin)
