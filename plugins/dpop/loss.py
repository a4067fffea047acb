"""The DPOP objective as a pure function of log-probabilities."""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def dpop_loss(policy: PairLogps, reference: PairLogps, *, beta: float, penalty: float) -> PairTerms:
    """DPO's loss at a margin reduced by what the chosen completion has lost: (B,) -> (B,).

        rho  = log pi(y) - log ref(y)
        loss = -log sigmoid(beta * [rho_w - rho_l - penalty * max(0, -rho_w)])

    Eq. 3 of arXiv 2402.13228, `penalty` written lambda. At rho_w = 0 the penalty has no gradient, so
    that the first step is DPO's. The margin reported leaves the penalty out.
    """
    chosen, rejected = policy.minus(reference)
    margin = beta * (chosen - rejected)
    return PairTerms(bradley_terry(margin - beta * penalty * (-chosen).relu()), margin)
