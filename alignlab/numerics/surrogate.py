"""Objectives shared by policy-gradient methods, per token, and the ways to turn them into one number."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from alignlab.numerics.logps import sequence_logps


def token_ratio(logps: Tensor, old_logps: Tensor, mask: Tensor) -> Tensor:
    """pi(y_t) / pi_old(y_t), each token on its own: (B, T) -> (B, T), 1 off the mask."""
    return ((logps - old_logps) * mask).exp()


def sequence_ratio(logps: Tensor, old_logps: Tensor, mask: Tensor) -> Tensor:
    """pi(y) / pi_old(y) of whole completions: (B, T) -> (B, 1)."""
    return sequence_logps(logps - old_logps, mask).exp().unsqueeze(-1)


def mean_ratio(logps: Tensor, old_logps: Tensor, mask: Tensor) -> Tensor:
    """(pi(y) / pi_old(y))^(1 / |y|), the geometric mean over tokens: (B, T) -> (B, 1) (GSPO, arXiv 2507.18071).

    1 for rows that select nothing.
    """
    return (sequence_logps(logps - old_logps, mask) / mask.sum(-1).clamp_min(1)).exp().unsqueeze(-1)


def clipped_surrogate(
    ratio: Tensor, advantages: Tensor, *, clip_low: float, clip_high: float, dual_clip: float = 0.0
) -> Tensor:
    """Pessimistic bound of the policy gradient objective, negated, at a given ratio; shapes broadcast.

        -min(q A, clamp(q, 1 - clip_low, 1 + clip_high) A)

    Eq. 7 of arXiv 1707.06347, asymmetric as in DAPO (arXiv 2503.14476). `dual_clip` c > 1 also bounds the loss of
    a negative advantage, max(.., c A) in place of the minimum (arXiv 1912.09729); 0 leaves it unbounded.
    """
    objective = torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages)
    if dual_clip:
        objective = torch.where(advantages < 0, torch.maximum(objective, dual_clip * advantages), objective)
    return -objective


def clipped_policy_loss(
    logps: Tensor, old_logps: Tensor, advantages: Tensor, *, clip: float, dual_clip: float = 0.0
) -> Tensor:
    """The symmetric bound with a ratio for each token (arXiv 1707.06347, eq. 7): all (B, T) -> (B, T)."""
    ratio = (logps - old_logps).exp()
    return clipped_surrogate(ratio, advantages, clip_low=clip, clip_high=clip, dual_clip=dual_clip)


def cispo_surrogate(ratio: Tensor, logps: Tensor, advantages: Tensor, *, clip_low: float, clip_high: float) -> Tensor:
    """REINFORCE with a bounded importance weight that is a constant to the gradient: (B, T) -> (B, T).

        -sg(clamp(q, 1 - clip_low, 1 + clip_high)) A log pi(y_t)

    CISPO, arXiv 2506.13585. No token is left without gradient; clip_low = 1 sets no lower bound.
    """
    return -ratio.detach().clamp(1 - clip_low, 1 + clip_high) * advantages * logps


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, *, clip: float) -> Tensor:
    """Half the larger squared error of the value and of the value held within `clip` of its old self.

    All (B, T) -> (B, T). clip = 0 keeps the plain squared error (arXiv 1707.06347 code; 2403.17031 §4).
    """
    error = (values - returns) ** 2
    if clip > 0:
        near = old_values + (values - old_values).clamp(-clip, clip)
        error = torch.maximum(error, (near - returns) ** 2)
    return error / 2


class Whole(NamedTuple):
    """What the shares of a minibatch's chunks are divided by: counts over the whole minibatch and all processes."""

    tokens: Tensor
    """Completion tokens, a scalar."""
    rows: Tensor
    """Completions, a scalar."""


def token_mean(values: Tensor, mask: Tensor, whole: Whole) -> Tensor:
    """This chunk's share of the mean over all tokens: every token weighs the same, long completions more.

    (B, T), (B, T) -> scalar (DAPO, arXiv 2503.14476). 0 where the whole minibatch selects nothing.
    """
    return (values * mask).sum() / whole.tokens.clamp_min(1)


def sequence_mean(values: Tensor, mask: Tensor, whole: Whole) -> Tensor:
    """Share of the mean over completions of the mean over their tokens: every completion weighs the same.

    (B, T), (B, T) -> scalar (GRPO, arXiv 2402.03300). Rows that select nothing count as 0.
    """
    return (sequence_logps(values, mask) / mask.sum(-1).clamp_min(1)).sum() / whole.rows


def sequence_sum(values: Tensor, mask: Tensor, whole: Whole) -> Tensor:
    """Share of the mean over completions of the sum over their tokens: the policy gradient of whole completions.

    (B, T), (B, T) -> scalar. Divided by a constant length it is the aggregation of Dr. GRPO (arXiv 2503.20783).
    """
    return (values * mask).sum() / whole.rows
