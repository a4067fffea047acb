"""The DPO objective as a pure function of log-probabilities."""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def dpo_loss(policy: PairLogps, reference: PairLogps, *, beta: float, label_smoothing: float) -> PairTerms:
    """Negative log-likelihood of the preference under the implicit reward beta log(pi / ref): (B,) each.

        z    = beta * [(log pi(y_w) - log ref(y_w)) - (log pi(y_l) - log ref(y_l))]
        loss = -(1 - eps) log sigmoid(z) - eps log sigmoid(-z)

    Eq. 7 of arXiv 2305.18290 at eps = 0; eps > 0 is conservative DPO (Mitchell, 2023), for labels wrong with
    probability eps.
    """
    margin = beta * (policy.margin - reference.margin)
    return PairTerms(bradley_terry(margin, 1 - label_smoothing), margin)
