"""The KTO objective as a pure function of log-probabilities."""

import torch
from torch import Tensor

from alignlab.numerics.logps import sequence_logps
from alignlab.numerics.masked import Total, own


def reference_point(logps: Tensor, reference_logps: Tensor, mask: Tensor, *, total: Total = own) -> Tensor:
    """What a completion counts as a gain against, a scalar, at least 0.

        z0 = max(0, mean over rows of log pi(y' | x) - log ref(y' | x)),   y' a completion of another prompt

    All (B, T). Eq. 8 of arXiv 2402.01306: a biased but steady estimate of KL(policy || reference) in nats a completion.
    The mean runs over the rows of all processes before the clamp; `total` sums over them.
    """
    ratios = sequence_logps(logps - reference_logps, mask)
    return (total(ratios.sum()) / total(torch.ones_like(ratios).sum())).clamp_min(0)


def kto_loss(
    log_ratios: Tensor,
    desirable: Tensor,
    reference_point: Tensor,
    *,
    beta: float,
    lambda_desirable: float,
    lambda_undesirable: float,
) -> Tensor:
    """Utility a completion falls short of: log pi/ref (B,), bool (B,), scalar -> (B,).

        loss = lambda_D [1 - sigmoid(beta (log pi/ref(y | x) - z0))]     desirable
        loss = lambda_U [1 - sigmoid(beta (z0 - log pi/ref(y | x)))]     undesirable

    Eq. 7 of arXiv 2402.01306. 1 - sigmoid(x) is computed as sigmoid(-x), which does not cancel.
    """
    shortfall = beta * (reference_point - log_ratios)
    return torch.where(desirable, lambda_desirable * shortfall.sigmoid(), lambda_undesirable * (-shortfall).sigmoid())
