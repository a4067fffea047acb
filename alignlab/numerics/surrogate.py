"""Clipped objectives shared by policy-gradient methods, per token; the caller aggregates."""

from __future__ import annotations

import torch
from torch import Tensor


def clipped_policy_loss(logps: Tensor, old_logps: Tensor, advantages: Tensor, *, clip: float) -> Tensor:
    """Pessimistic bound of the policy gradient objective (arXiv 1707.06347, eq. 7), negated.

        -min(q A, clamp(q, 1 - clip, 1 + clip) A),   q = pi(y_t) / pi_old(y_t)

    All (B, T) -> (B, T).
    """
    ratio = (logps - old_logps).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, *, clip: float) -> Tensor:
    """Half the larger squared error of the value and of the value held within `clip` of its old self.

    All (B, T) -> (B, T). clip = 0 keeps the plain squared error (arXiv 1707.06347 code; 2403.17031 §4).
    """
    error = (values - returns) ** 2
    if clip > 0:
        near = old_values + (values - old_values).clamp(-clip, clip)
        error = torch.maximum(error, (near - returns) ** 2)
    return error / 2
