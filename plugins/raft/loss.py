"""Which samples are imitated, and how."""

import torch
from torch import Tensor


def best_of_each(rewards: Tensor) -> Tensor:
    """Marks the highest reward of each group, the first of equals: (P, G) -> (P, G) bool."""
    best = rewards.argsort(dim=-1, descending=True, stable=True)[:, :1]
    return torch.zeros_like(rewards, dtype=torch.bool).scatter(-1, best, True)


def imitation(logps: Tensor, mask: Tensor, kept: Tensor, tokens: float) -> Tensor:
    """Negative log-likelihood of kept rows over a number of tokens: (B, T), (B, T), (B,) -> a scalar.

        - sum_i kept_i sum_t log pi(y_it) / tokens

    Step 3 of RAFT, §3 of arXiv 2304.06767, as a mean over tokens when `tokens` counts those of kept rows.
    """
    return -(kept[:, None] * logps * mask).sum() / tokens
