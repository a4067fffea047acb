"""The odds ratio part of the ORPO objective as a pure function of log-probabilities.

The other part, the likelihood of chosen, is what `sft_weight` adds to any pair loss. Of the authors' code one detail is
left out: that its likelihood may run over the tokens of the prompt too.
"""

import torch
from torch import Tensor

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def orpo_loss(policy: PairLogps, *, odds_weight: float) -> PairTerms:
    """Weighted likelihood of the labels under a difference of log odds: (B,) each.

        m(y) = log pi(y) / |y|,    log odds(y) = m - log(1 - e^m)
        loss = -lambda log sigmoid(log odds(y_w) - log odds(y_l))

    Eqs. 3-7 of arXiv 2403.07691 without L_SFT.
    """
    mean = policy.averaged
    margin = log_odds(mean.chosen) - log_odds(mean.rejected)
    return PairTerms(odds_weight * bradley_terry(margin), margin)


def log_odds(logp: Tensor) -> Tensor:
    """log [p / (1 - p)] from log p <= 0, (B,) -> (B,).

    `expm1` keeps 1 - p exact near p = 1. Far from there its logarithm vanishes beside log p, so that rounding is
    harmless and no second branch is needed. The odds of p = 1 are infinite: log p is held one rounding unit below 0.
    """
    below = logp.clamp_max(-torch.finfo(logp.dtype).eps)
    return below - (-below.expm1()).log()
