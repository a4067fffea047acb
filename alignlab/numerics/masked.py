"""Statistics over the entries a mask selects."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Total = Callable[[Tensor], Tensor]
"""Turns the sum over this process's entries into the sum over all processes."""


def own(total: Tensor) -> Tensor:
    """The sum itself: the entries given are all there are."""
    return total


def masked_mean(x: Tensor, mask: Tensor, *, total: Total = own) -> Tensor:
    """Mean over selected entries, a scalar. NaN where nothing is selected, never a silent zero."""
    return total((x * mask).sum()) / total(mask.sum())


def masked_var(x: Tensor, mask: Tensor, *, unbiased: bool = True, total: Total = own) -> Tensor:
    """Variance over selected entries, a scalar; divides by n - 1 when unbiased."""
    centred = (x - masked_mean(x, mask, total=total)) * mask
    return total((centred**2).sum()) / (total(mask.sum()) - int(unbiased))


def whiten(x: Tensor, mask: Tensor, *, shift_mean: bool = True, eps: float = 1e-8, total: Total = own) -> Tensor:
    """Scale selected entries to standard deviation 1 (and mean 0 when shift_mean); others become 0.

    (B, T) -> (B, T). Statistics are over the whole tensor given: pass the whole batch, not a micro-batch, and
    `total` where other processes hold part of it.
    """
    mean = masked_mean(x, mask, total=total)
    std = masked_var(x, mask, unbiased=False, total=total).sqrt()
    scaled = (x - mean) / (std + eps)
    return (scaled if shift_mean else scaled + mean) * mask


def explained_variance(prediction: Tensor, target: Tensor, mask: Tensor, *, total: Total = own) -> Tensor:
    """1 - Var(target - prediction) / Var(target): 1 is perfect, 0 no better than the mean. A scalar.

    NaN where the target does not vary.
    """
    unexplained = masked_var(target - prediction, mask, unbiased=False, total=total)
    spread = masked_var(target, mask, unbiased=False, total=total)
    return torch.where(spread > 0, 1 - unexplained / spread, torch.nan)


def last_index(mask: Tensor) -> Tensor:
    """Index of the last selected entry of each row: (B, T) -> (B,). Rows must select something."""
    positions = torch.arange(mask.shape[-1], device=mask.device)
    return torch.where(mask.bool(), positions, -1).amax(-1)


def position_ids(attention: Tensor) -> Tensor:
    """Positions that count real tokens only, so that left padding changes nothing: (B, T) -> (B, T)."""
    return (attention.long().cumsum(-1) - 1).clamp_min(0)
