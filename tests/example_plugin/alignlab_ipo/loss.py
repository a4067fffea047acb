"""The IPO objective as a pure function of log-probabilities."""

from torch import Tensor


def ipo_loss(margin: Tensor, *, beta: float) -> Tensor:
    """Squared distance of a pair's log-ratio margin from 1 / (2 beta): (B,) -> (B,).

    margin = log pi/ref(y_w) - log pi/ref(y_l), in nats. Eq. 17 of arXiv 2310.12036, beta for their tau.
    """
    return (margin - 1 / (2 * beta)) ** 2
