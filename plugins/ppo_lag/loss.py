"""What is particular to PPO under a constraint, as pure functions."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from alignlab.numerics.advantage import gae, returns, shaped_rewards
from alignlab.numerics.logps import sequence_logps


class Targets(NamedTuple):
    """What one rollout teaches about one stream, (B, T) each."""

    advantages: Tensor
    returns: Tensor


def targets(
    scores: Tensor,
    logps: Tensor,
    reference_logps: Tensor,
    values: Tensor,
    mask: Tensor,
    *,
    beta: float,
    limit: float,
    discount: float,
    gae_lambda: float,
) -> Targets:
    """Advantages and returns of a stream: scores (B,) on the last token, the KL price on each, the rest (B, T).

    Rewards take `beta`, costs `-beta`: r_t = -beta k1_t + [end] r, c_t = +beta k1_t + [end] c. Each entry is then held
    within `limit`, unless that is 0, as in the code of arXiv 2310.12773.
    """
    rewards = shaped_rewards(scores, logps, reference_logps, mask, beta=beta)
    rewards = rewards.clamp(-limit, limit) if limit else rewards
    advantages = gae(rewards, values, mask, discount=discount, gae_lambda=gae_lambda)
    return Targets(advantages, returns(advantages, values, mask))


def combined(reward: Tensor, cost: Tensor, log_multiplier: Tensor) -> Tensor:
    """(A_r - lambda A_c) / (1 + lambda), shapes of the inputs: the Lagrangian on the scale of one of its parts.

    Of the streams of `targets` it is the advantage of (r - lambda c) / (1 + lambda) with a price of exactly beta, since
    (-beta k1 - lambda beta k1) / (1 + lambda) = -beta k1, as long as nothing was cut at `limit`. Written with
    sigmoids of log lambda, it is finite for every lambda.
    """
    share = log_multiplier.sigmoid().to(reward.dtype)
    return (-log_multiplier).sigmoid().to(reward.dtype) * reward - share * cost


def next_log_multiplier(
    log_multiplier: Tensor, mean_cost: Tensor, *, threshold: float, lr: float, most: float
) -> Tensor:
    """One ascent step on lambda (mean_cost - threshold) with respect to log lambda, scalars.

        log lambda + lr lambda (mean_cost - threshold),   at most log(most)

    In logarithms lambda stays positive; its steps shrink with it (arXiv 2310.12773).
    """
    step = lr * log_multiplier.exp() * (mean_cost - threshold)
    return (log_multiplier + step).clamp_max(math.log(most))


def pushed(recent: Tensor, value: Tensor) -> Tensor:
    """A window moved on by one: the oldest entry leaves, `value` comes last. (W,), scalar -> (W,)."""
    return torch.cat([recent[1:], value.to(recent).reshape(1)])


def imitation(logps: Tensor, mask: Tensor) -> Tensor:
    """Negative log-likelihood of each demonstration, a mean over its tokens: (B, T) -> (B,)."""
    return -sequence_logps(logps, mask) / mask.sum(-1)
