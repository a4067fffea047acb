"""Which completions of a group become a pair."""

import torch
from torch import Tensor


def best_and_worst(rewards: Tensor) -> Tensor:
    """Rows of the highest and of the lowest reward of each group: (P, G) -> (2P,), best and worst in turn.

    Rows count through all groups, in order. Of equal rewards the first is the best and the last the worst, so that
    the two always differ.
    """
    groups, size = rewards.shape
    order = rewards.argsort(dim=-1, descending=True, stable=True)
    starts = torch.arange(groups, device=rewards.device)[:, None] * size
    return (starts + order[:, [0, -1]]).flatten()
