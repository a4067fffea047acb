"""From one score per completion to one advantage per token."""

from __future__ import annotations

import torch
from torch import Tensor

from alignlab.numerics.masked import last_index


def shaped_rewards(
    score: Tensor, logps: Tensor, reference_logps: Tensor, mask: Tensor, *, beta: float | Tensor
) -> Tensor:
    """Pay the score on the last token and the KL price on every token (arXiv 1909.08593, eq. 2).

        r_t = -beta (log pi(y_t) - log ref(y_t)) + [t = last] score

    score (B,), logps, reference_logps, mask (B, T) -> (B, T). Summed over tokens this is
    score - beta (log pi(y|x) - log ref(y|x)), whose maximiser is pi* = ref exp(score / beta) / Z.
    """
    rewards = -beta * (logps - reference_logps) * mask
    return rewards.scatter_add(-1, last_index(mask).unsqueeze(-1), score.to(rewards.dtype).unsqueeze(-1))


def gae(rewards: Tensor, values: Tensor, mask: Tensor, *, discount: float = 1.0, gae_lambda: float = 0.95) -> Tensor:
    """Generalised advantage estimation (arXiv 1506.02438, eq. 16).

        delta_t = r_t + discount V_{t+1} - V_t,    A_t = sum_k (discount gae_lambda)^k delta_{t+k}

    rewards, values, mask (B, T) -> (B, T). The selected tokens of a row are contiguous; the value after the
    last of them is 0, so a truncated completion is treated as ended (no bootstrapping).
    """
    values = values * mask
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], -1)
    delta = (rewards + discount * following - values) * mask
    running = torch.zeros_like(delta[:, 0])
    columns = []
    for t in reversed(range(delta.shape[1])):
        running = delta[:, t] + discount * gae_lambda * running
        columns.append(running)
    return torch.stack(columns[::-1], -1) * mask


def returns(advantages: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """What the value model regresses on: raw advantage + value, before any whitening. (B, T) -> (B, T)."""
    return (advantages + values) * mask


def rewards_to_go(rewards: Tensor, mask: Tensor, *, discount: float = 1.0) -> Tensor:
    """What is still to come at every token, its own reward included: G_t = sum_{k >= 0} discount^k r_{t+k}.

    (B, T), (B, T) -> (B, T), 0 off the mask. With rewards -k1 it is the return whose policy gradient is that of the
    KL of whole completions.
    """
    return gae(rewards * mask, torch.zeros_like(rewards), mask, discount=discount, gae_lambda=1.0)


def group_mean(rewards: Tensor) -> Tensor:
    """Mean reward of each group, the row's own included: (N, G) -> (N, G) (arXiv 2402.03300)."""
    return rewards.mean(-1, keepdim=True).expand_as(rewards)


def leave_one_out(rewards: Tensor) -> Tensor:
    """Mean reward of the others in each group: (N, G) -> (N, G), G > 1 (arXiv 2402.14740).

    reward - leave_one_out = G / (G - 1) (reward - group_mean): the same direction as the group mean, longer, and
    independent of the row it is subtracted from, hence unbiased.
    """
    return (rewards.sum(-1, keepdim=True) - rewards) / (rewards.shape[-1] - 1)


def sample_std(values: Tensor) -> Tensor:
    """Sample standard deviation over the last axis, exactly 0 where nothing varies: (..., n) -> (..., 1), n > 1."""
    varies = values.amax(-1, keepdim=True) > values.amin(-1, keepdim=True)
    return torch.where(varies, values.std(-1, keepdim=True), 0)


def leave_one_out_std(rewards: Tensor) -> Tensor:
    """Sample standard deviation of the others in each group: (N, G) -> (N, G), G > 2."""
    size = rewards.shape[-1]
    others = ~torch.eye(size, dtype=torch.bool, device=rewards.device)
    return sample_std(rewards.unsqueeze(-2).expand(-1, size, -1)[:, others].view(-1, size, size - 1)).squeeze(-1)


def standardised(advantages: Tensor, std: Tensor, *, eps: float) -> Tensor:
    """A / (std + eps); where the deviation is 0 the advantage stays as it is. Shapes broadcast."""
    return torch.where(std > 0, advantages / (std + eps), advantages)
