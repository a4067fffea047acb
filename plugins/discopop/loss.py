"""The DiscoPOP objective as a pure function of log-probabilities."""

from torch.nn.functional import logsigmoid

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms


def discopop_loss(policy: PairLogps, reference: PairLogps, *, beta: float, temperature: float) -> PairTerms:
    """Log-ratio modulated loss: a blend of the logistic and the exponential loss, (B,) -> (B,).

        z    = beta * [(log pi(y_w) - log ref(y_w)) - (log pi(y_l) - log ref(y_l))]
        k    = sigmoid(z / temperature)
        loss = -(1 - k) log sigmoid(z) + k exp(-z)

    Eq. 5 of arXiv 2406.08414, temperature written tau. k exp(-z) is computed as exp(log sigmoid(z / tau) - z), whose
    exponent is at most 0 for z >= 0 and, where tau <= 1, for z < 0 too: no product of 0 and infinity, no overflow.
    """
    margin = beta * (policy.margin - reference.margin)
    blend = margin / temperature
    logistic = -(-blend).sigmoid() * logsigmoid(margin)
    exponential = (logsigmoid(blend) - margin).exp()
    return PairTerms(logistic + exponential, margin)
