"""The SLiC-HF objective as a pure function of log-probabilities.

Left out are pairs sampled from the SFT policy and ranked by a model, which are data, and a separate target for the
likelihood term, a demonstration of the same prompt, which pairs do not have: chosen stands in for it.
"""

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms


def slic_loss(policy: PairLogps, *, target_margin: float, nll_weight: float) -> PairTerms:
    """Rank calibration and the likelihood of chosen: (B,) each.

        loss = max(0, delta - log pi(y_w) + log pi(y_l)) - lambda log pi(y_w)

    Eq. 4 of arXiv 2305.10425 with y_ref = y_w. At the hinge the gradient of the first term is taken to be 0.
    """
    return PairTerms((target_margin - policy.margin).relu() - nll_weight * policy.chosen, policy.margin)
