"""Every rollout there is, with its probability: expectations of gradient estimators as sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from worldly import F64, WORLD

from alignlab.numerics.population import conditionals
from alignlab.numerics.surrogate import Whole
from alignlab.worlds import exact


def somewhere(seed: int = 1, prompts: int = 8) -> Tensor:
    """A table that is neither the reference nor the optimum, ready for gradients: (prompts, 43, 6)."""
    torch.manual_seed(seed)
    table = exact.reference_logits() + 0.7 * torch.randn(8, 43, 6, dtype=F64)
    return table[:prompts].clone().requires_grad_()


@dataclass
class Rollouts:
    """All groups of `size` completions of some prompts, neighbours in rows."""

    logps: Tensor
    """Of the policy that is trained, with gradient, (B, 3)."""
    reference: Tensor
    rewards: Tensor
    """(B,)."""
    weights: Tensor
    """Probability of the row's group, over the number of prompts, (B,): groups sum to 1."""
    size: int

    @property
    def old(self) -> Tensor:
        """Of the policy that sampled: the same, without gradient."""
        return self.logps.detach()

    @property
    def mask(self) -> Tensor:
        return torch.ones_like(self.old)

    @property
    def whole(self) -> Whole:
        """Denominators of one group, so that a sum over weighted groups is an expectation."""
        return Whole(torch.tensor(3.0 * self.size, dtype=F64), torch.tensor(float(self.size), dtype=F64))

    @property
    def log_ratio(self) -> Tensor:
        return self.old - self.reference


def rollouts(table: Tensor, size: int = 1) -> Rollouts:
    """All groups of one or two completions under a table of some prompts."""
    prompts = len(table)
    tokens = exact.token_logps(table)
    reference = exact.token_logps(exact.reference_logits())[:prompts]
    every = torch.arange(216)
    rows = every if size == 1 else torch.cartesian_prod(every, every).flatten()
    chance = tokens.detach().sum(-1).exp()[:, rows].view(prompts, -1, size).prod(-1) / prompts
    return Rollouts(
        tokens[:, rows].reshape(-1, 3),
        reference[:, rows].reshape(-1, 3),
        WORLD.reward[:prompts, rows].reshape(-1),
        chance.repeat_interleave(size, dim=-1).flatten(),
        size,
    )


def gradient(value: Tensor, table: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(value, table)
    return found


def objective(table: Tensor, beta: float) -> Tensor:
    """J, mean over the prompts of a table."""
    logps, n = exact.sequence_logps(table), len(table)
    return exact.objective(logps, WORLD.reference[:n], WORLD.reward[:n], beta)


def reward(table: Tensor) -> Tensor:
    """E[r], mean over prompts."""
    return objective(table, 0.0)


def local(table: Tensor, divergence: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Sum over positions of the expected divergence of the next token, prefixes taken as given: a scalar.

    `divergence` of log-probabilities of policy and reference, (..., 6) -> (...). Its gradient ignores that the policy
    chooses the prefixes.
    """
    own = conditionals(exact.sequence_logps(table), 6, 3)
    fixed = conditionals(WORLD.reference[: len(table)], 6, 3)
    visits, total = torch.ones(len(table), dtype=F64), torch.zeros((), dtype=F64)
    for mine, theirs in zip(own, fixed, strict=True):
        total = total + (visits * divergence(mine, theirs)).sum() / len(table)
        visits = visits.unsqueeze(-1) * mine.detach().exp()
    return total


def forward_kl(own: Tensor, fixed: Tensor) -> Tensor:
    """KL(ref || pi)."""
    return (fixed.exp() * (fixed - own)).sum(-1)


def reverse_kl(own: Tensor, fixed: Tensor) -> Tensor:
    """KL(pi || ref)."""
    return (own.exp() * (own - fixed)).sum(-1)
