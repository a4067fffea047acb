"""The policy gradient of Nash-MD as pure functions."""

import torch
from torch import Tensor

from alignlab.numerics.advantage import gae


def advantages(
    preference: Tensor, logps: Tensor, reference_logps: Tensor, mask: Tensor, *, beta: float, kl_discount: float
) -> Tensor:
    """What each token earns: preference (B,), the rest (B, T) -> (B, T), 0 off the completion.

        A_t = P(y > y') - 1/2 - beta sum_{s >= t} discount^(s - t) [log pi(y_s) - log ref(y_s)]

    Nash-MD-PG of arXiv 2312.00886 at discount 1, where tokens before t, whose KL no later choice changes, are left
    out of the sum. At discount 0 each token pays its own KL alone.
    """
    # Generalised advantage at lambda 1 over values of 0 is the discounted sum.
    drift = gae(logps - reference_logps, torch.zeros_like(logps), mask, discount=kl_discount, gae_lambda=1.0)
    return (preference.to(drift.dtype)[:, None] - 0.5 - beta * drift) * mask
