"""The SimPO objective as a pure function of log-probabilities.

Nothing of the paper is left out; its target margin is given as gamma, where the authors' later code takes gamma / beta.
"""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def simpo_loss(policy: PairLogps, *, beta: float, target_margin: float) -> PairTerms:
    """Bradley-Terry likelihood of mean token log-probabilities with a target margin: (B,) each.

        r(y) = beta log pi(y) / |y|
        loss = -log sigmoid(r(y_w) - r(y_l) - gamma)

    Eq. 6 of arXiv 2405.14734. The implicit margin is the difference of rewards, gamma not taken off.
    """
    margin = beta * policy.averaged.margin
    return PairTerms(bradley_terry(margin - target_margin), margin)
