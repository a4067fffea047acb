"""What is particular to REINFORCE with one number as baseline, as pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from alignlab.numerics.advantage import rewards_to_go, shaped_rewards


@dataclass(frozen=True)
class Average:
    """A mean as its numerator and denominator, scalars."""

    total: Tensor
    count: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean; 0 of nothing."""
        return torch.where(self.count > 0, self.total / self.count, 0)

    def plus(self, other: Average, *, decay: float) -> Average:
        """With later values, before which this one's weight shrinks by `decay`."""
        return Average(decay * self.total + other.total, decay * self.count + other.count)


BASELINES: Mapping[str, Callable[[Average, Average], Tensor]] = {
    "moving_average": lambda before, now: before.mean,
    "batch_mean": lambda before, now: now.mean,
    "none": lambda before, now: torch.zeros_like(now.total),
}
"""From the average before a rollout and that of the rollout, a scalar.

The first is independent of the completions it is taken from, so the gradient stays unbiased; the second is not, which
shrinks the gradient by (n - 1) / n.
"""


def returns(scores: Tensor, logps: Tensor, reference_logps: Tensor, mask: Tensor, *, beta: float) -> Tensor:
    """Score and price of KL still to come at every token: scores (B,), the rest (B, T) -> (B, T).

    At a row's first token this is score - beta log(pi/ref)(y).
    """
    return rewards_to_go(shaped_rewards(scores, logps, reference_logps, mask, beta=beta), mask)


def policy_gradient_loss(logps: Tensor, advantages: Tensor) -> Tensor:
    """-A log pi(y_t): (B, T) -> (B, T)."""
    return -advantages * logps
