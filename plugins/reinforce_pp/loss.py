"""What is particular to REINFORCE++, as pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from alignlab.numerics.advantage import group_mean, rewards_to_go
from alignlab.numerics.masked import Total, own, whiten

BASELINES: Mapping[str, Callable[[Tensor], Tensor]] = {"none": torch.zeros_like, "mean": group_mean}
"""From rewards with one prompt a row, (N, G) -> (N, G)."""


def advantages(
    rewards: Tensor,
    kl: Tensor,
    mask: Tensor,
    *,
    group_size: int,
    baseline: str,
    beta: float,
    total: Total = own,
) -> Tensor:
    """Whitened over all selected tokens: rewards (B,), KL to be paid in the reward and mask (B, T) -> (B, T).

        A_t = (R - baseline) - beta sum_{s >= t} KL_s,   then (A - mean A) / std A

    Global advantage normalisation of arXiv 2501.03262.
    """
    grouped = rewards.view(-1, group_size)
    compared = (grouped - BASELINES[baseline](grouped)).flatten().unsqueeze(-1)
    return whiten((compared - beta * rewards_to_go(kl, mask)) * mask, mask, total=total)
