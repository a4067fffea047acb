"""The contrastive part of the CPO objective as a pure function of log-probabilities.

The other part, the likelihood of chosen, is what `sft_weight` adds to any pair loss. Triplets of translations, from
which the paper takes the best and the worst, are left out: pairs come as they are.
"""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def cpo_loss(policy: PairLogps, *, beta: float) -> PairTerms:
    """Bradley-Terry likelihood of summed log-probabilities: (B,) each.

    loss = -log sigmoid(beta [log pi(y_w) - log pi(y_l)])

    The preference term of arXiv 2401.08417, §3: DPO whose reference is uniform over completions.
    """
    margin = beta * policy.margin
    return PairTerms(bradley_terry(margin), margin)
