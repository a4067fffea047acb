"""The SPPO objective as a pure function of log-probabilities."""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms


def sppo_loss(policy: PairLogps, reference: PairLogps, *, beta: float) -> PairTerms:
    """Squared distance of both log-ratios from their targets: (B,) -> (B,).

        rho  = log pi(y) - log ref(y)
        loss = [rho_w - 1/(2 beta)]^2 + [rho_l + 1/(2 beta)]^2

    Eq. 4.7 of arXiv 2405.00675, (rho - (P - 1/2) / beta)^2 with 1/beta = eta, where P = 1 for y_w and 0 for y_l.
    Averaged over both orders of a soft label p it has the gradient of the paper's loss with P = p and 1 - p.
    """
    chosen, rejected = policy.minus(reference)
    target = 1 / (2 * beta)
    return PairTerms((chosen - target) ** 2 + (rejected + target) ** 2, beta * (chosen - rejected))
