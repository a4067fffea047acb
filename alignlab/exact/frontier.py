"""What is possible: the most reward for each KL, and what the best of n samples reaches."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from alignlab.numerics.population import Population, tilted


class Place(NamedTuple):
    """Where a policy stands, means over prompts."""

    drift: float
    """KL(pi || ref), nats."""
    reward: float
    """E[r]."""


def place(logps: Tensor, world: Population) -> Place:
    """Of log-probabilities (X, Y)."""
    weights = logps.exp()
    drift = torch.where(weights > 0, weights * (logps - world.reference), 0.0).sum(-1)
    return Place(float(drift.mean()), float((weights * world.reward).sum(-1).mean()))


def frontier(world: Population, points: int = 80) -> list[Place]:
    """ref exp(r / beta) / Z for every price of KL: no policy has more reward at the same mean KL."""
    prices = torch.logspace(1.5, -2.3, points, dtype=torch.float64).tolist()
    ends = [place(world.reference, world)]
    return ends + [place(tilted(world.reference, world.reward / price), world) for price in prices]


def best_of(world: Population, most: int = 128, points: int = 40) -> list[Place]:
    """The best by reward of n samples of the reference, ties broken at random, for n from 1 to `most`.

    P(best = y) = [F(r_y)^n - F(r_y-)^n] ref(y) / P(r = r_y), which is drawn between whole n too.
    """
    better = world.reward.unsqueeze(-2) < world.reward.unsqueeze(-1)
    same = world.reward.unsqueeze(-2) == world.reward.unsqueeze(-1)
    weights = world.reference.exp()
    below, tied = ((mask * weights.unsqueeze(-2)).sum(-1) for mask in (better, same))
    found = []
    for n in torch.logspace(0, math.log10(most), points, dtype=torch.float64).tolist():
        chance = ((below + tied) ** n - below**n) * weights / tied
        found.append(place(chance.clamp_min(1e-300).log(), world))
    return found
