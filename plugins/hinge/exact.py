"""Where the hinge loss converges with every pair in its training set."""

from collections.abc import Callable

import torch
from torch import Tensor

from alignlab.numerics.population import Population, tilted

LEVELS = 6
"""More levels than this are not tried."""


def fixed_point(world: Population, *, beta: float) -> Tensor:
    """ref exp(k / beta) with whole numbers k: completions fall into a few levels, 1 / beta nats apart.

    In f = beta log pi/ref the loss is a sum of max(0, 1 - (f_i - f_j)), a linear program whose constraints f_i - f_j
    >= 1 - slack are those of a flow network. Its vertices are whole numbers, and more wins never mean a lower level:
    what is left is where the thresholds between levels lie.
    """
    levels = torch.stack([_levels(*each) for each in zip(world.preference, world.sampling, world.wins, strict=True)])
    return tilted(world.reference, levels / beta)


def _levels(preference: Tensor, sampling: Tensor, wins: Tensor) -> Tensor:
    """Level of each completion of one prompt, (Y, Y), (Y,), (Y,) -> (Y,): the best for any number of thresholds."""
    rank = wins.argsort().argsort()
    weights = sampling[:, None] * sampling * preference

    def level(thresholds: list[int]) -> Tensor:
        return sum((rank >= t).to(weights.dtype) for t in thresholds) + torch.zeros_like(wins)

    def cost(thresholds: list[int]) -> float:
        f = level(thresholds)
        return float((weights * (1 - (f[:, None] - f)).clamp_min(0)).sum())

    best = min((_settled(cost, count, len(wins)) for count in range(1, LEVELS + 1)), key=lambda found: found[0])
    return level(best[1])


def _settled(cost: Callable[[list[int]], float], count: int, size: int) -> tuple[float, list[int]]:
    """Thresholds moved one at a time, by ever smaller strides, until none lowers the cost."""
    thresholds = [size * (k + 1) // (count + 1) for k in range(count)]
    least = cost(thresholds)
    moved = True
    while moved:
        moved = False
        for k in range(count):
            for stride in (-16, 16, -4, 4, -1, 1):
                tried = [*thresholds[:k], min(size, max(0, thresholds[k] + stride)), *thresholds[k + 1 :]]
                value = cost(tried)
                if value < least - 1e-15:
                    least, thresholds, moved = value, tried, True
    return least, thresholds
