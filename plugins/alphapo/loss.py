"""The AlphaPO objective as a pure function of log-probabilities. Nothing of the paper is left out."""

import math

import torch
from torch import Tensor

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def alphapo_loss(policy: PairLogps, *, beta: float, target_margin: float, alpha: float) -> PairTerms:
    """Bradley-Terry likelihood of powers of the mean token probability with a target margin: (B,) each.

        p(y) = pi(y)^(1 / |y|),    r(y) = beta (1 - p^-alpha) / alpha
        loss = -log sigmoid(r(y_w) - r(y_l) - gamma)

    arXiv 2501.03884, §3. The implicit margin is the difference of rewards, gamma not taken off.
    """
    mean = policy.averaged
    margin = beta * (reward(mean.chosen, alpha) - reward(mean.rejected, alpha))
    return PairTerms(bradley_terry(margin - target_margin), margin)


def reward(logp: Tensor, alpha: float) -> Tensor:
    """(1 - p^-alpha) / alpha from log p, (B,) -> (B,); log p itself at alpha = 0, the limit."""
    if alpha == 0:
        return logp
    # Past this exponent the squared norm of a gradient overflows: at alpha = 0.25 a mean below -137 nats a token in
    # float32. There the reward stays at its bound and its gradient is 0.
    bound = math.log(torch.finfo(logp.dtype).max) / 2 - 10
    return -(-alpha * logp).clamp_max(bound).expm1() / alpha
