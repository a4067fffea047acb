"""The robust DPO objective as a pure function of log-probabilities.

The paper's extensions to other link functions and to reward models are left out: the same correction of another loss.
"""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def robust_dpo_loss(policy: PairLogps, reference: PairLogps, *, beta: float, flip_rate: float) -> PairTerms:
    """DPO loss corrected for labels that are flipped with probability eps: (B,) each.

        z    = beta * [(log pi(y_w) - log ref(y_w)) - (log pi(y_l) - log ref(y_l))]
        loss = [(1 - eps) dpo(z) - eps dpo(-z)] / (1 - 2 eps),    dpo(z) = -log sigmoid(z)

    Eq. 12 of arXiv 2403.00409. Since dpo(-z) = dpo(z) + z it equals dpo(z) - z eps / (1 - 2 eps), which is what is
    computed: near eps = 0.5 the two terms would be large and cancel.
    """
    margin = beta * (policy.margin - reference.margin)
    return PairTerms(bradley_terry(margin) - flip_rate / (1 - 2 * flip_rate) * margin, margin)
