"""The BCO objective as pure functions of rewards."""

import torch
from torch import Tensor

from alignlab.numerics.preference import bradley_terry


def reward_shift(sums: Tensor, counts: Tensor) -> Tensor:
    """The threshold between good and bad, a scalar, from sums and numbers of rewards of either verdict, (2,) each.

        delta = (E[r | desirable] + E[r | undesirable]) / 2

    The shift of arXiv 2404.04656 that brings the loss closest to DPO's. A verdict not met yet is left out.
    """
    met = counts > 0
    return (sums[met] / counts[met]).mean()


def bco_loss(rewards: Tensor, desirable: Tensor, shift: Tensor, weights: Tensor | float = 1.0) -> Tensor:
    """Cross-entropy of the verdict under the shifted reward: (B,), bool (B,), scalar, (B,) -> (B,).

        loss = - log sigmoid(r - delta)         desirable
        loss = - w log sigmoid(-(r - delta))    undesirable

    with r = beta log pi/ref(y | x) and w the density ratio of the prompt (arXiv 2404.04656).
    """
    shifted = rewards - shift
    return torch.where(desirable, bradley_terry(shifted), weights * bradley_terry(-shifted))
