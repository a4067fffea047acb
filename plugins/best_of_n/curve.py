"""What every n up to N would have brought, from N scored samples of a prompt."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def expected_best(reward: Tensor, value: Tensor, n: int) -> Tensor:
    """Mean value of the best by reward, over all subsets of n of the N samples: (..., N), (..., N) -> (...).

        E = sum_i C(i - 1, n - 1) / C(N, n) value_(i)      i = 1..N by ascending reward

    An unbiased estimate for best-of-n with the least variance that N samples allow (arXiv 2112.09332). Samples with
    equal rewards share their weight, as if each subset broke its ties at random. float64.
    """
    size = reward.shape[-1]
    if not 1 <= n <= size:
        raise ValueError(f"the best of {n} cannot be estimated from {size} samples")
    ordered, order = reward.sort(-1)
    values = value.double().gather(-1, order)
    weight = torch.tensor([math.comb(i, n - 1) / math.comb(size, n) for i in range(size)], dtype=torch.float64)
    weight = weight.to(values.device).expand_as(values)
    new = torch.ones_like(ordered, dtype=torch.long)
    new[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    block = new.cumsum(-1) - 1  # samples with equal rewards are one block

    def within(column: Tensor) -> Tensor:
        return torch.zeros_like(values).scatter_add(-1, block, column)

    count = within(torch.ones_like(values)).clamp_min(1)
    return (within(weight) * within(values) / count).sum(-1)
