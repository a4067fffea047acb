"""The DPO objective as a pure function of log-probabilities."""

from torch import Tensor

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import bradley_terry


def dpo_margin(policy: PairLogps, reference: PairLogps, *, beta: float) -> Tensor:
    """Implicit reward of chosen minus that of rejected, (B,): the logit of P(chosen preferred).

    z = beta * [(log pi(y_w) - log ref(y_w)) - (log pi(y_l) - log ref(y_l))]
    """
    return beta * (policy.margin - reference.margin)


def dpo_loss(margin: Tensor, *, probability: Tensor | float = 1.0, label_smoothing: float = 0.0) -> Tensor:
    """Negative log-likelihood of the preference under the implicit reward: (B,) -> (B,).

        q    = p (1 - eps) + (1 - p) eps
        loss = -q log sigmoid(z) - (1 - q) log sigmoid(-z)

    Eq. 7 of arXiv 2305.18290 at p = 1, eps = 0; eps > 0 is conservative DPO, for labels wrong with probability
    eps; p < 1 are soft labels, (B,).
    """
    believed = probability * (1 - label_smoothing) + (1 - probability) * label_smoothing
    return bradley_terry(margin, believed)
