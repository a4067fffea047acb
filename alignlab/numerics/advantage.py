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
