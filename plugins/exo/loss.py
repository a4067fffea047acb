"""The pairwise EXO objective as a pure function of log-probabilities."""

import math

from torch.nn.functional import logsigmoid

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms


def exo_loss(policy: PairLogps, reference: PairLogps, *, beta: float, label_smoothing: float) -> PairTerms:
    """KL from the policy's choice between the two completions to the smoothed label: (B,) -> (B,).

        z    = beta * [(log pi(y_w) - log ref(y_w)) - (log pi(y_l) - log ref(y_l))],  q = sigmoid(z)
        loss = q [log q - log(1 - eps)] + (1 - q) [log(1 - q) - log eps]

    Eq. 16 of arXiv 2402.00856. It is bounded by -log eps, and 0 where q = 1 - eps.
    """
    margin = beta * (policy.margin - reference.margin)
    chosen = margin.sigmoid() * (logsigmoid(margin) - math.log1p(-label_smoothing))
    rejected = (-margin).sigmoid() * (logsigmoid(-margin) - math.log(label_smoothing))
    return PairTerms(chosen + rejected, margin)
