"""The DPO objective as a pure function of log-probabilities."""

from torch import Tensor

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def dpo_margin(policy: PairLogps, reference: PairLogps, *, beta: float) -> Tensor:
    """Implicit reward of chosen minus that of rejected, (B,): the logit of P(chosen preferred).

    z = beta * [(log pi(y_w) - log ref(y_w)) - (log pi(y_l) - log ref(y_l))]
    """
    return beta * (policy.margin - reference.margin)


def dpo_loss(policy: PairLogps, reference: PairLogps, *, beta: float, label_smoothing: float = 0.0) -> PairTerms:
    """Negative log-likelihood of the preference under the implicit reward: (B,) -> (B,).

        loss = -(1 - eps) log sigmoid(z) - eps log sigmoid(-z)

    Eq. 7 of arXiv 2305.18290 at eps = 0; eps > 0 is conservative DPO, for labels wrong with probability eps.
    """
    margin = dpo_margin(policy, reference, beta=beta)
    return PairTerms(bradley_terry(margin, 1 - label_smoothing), margin)
