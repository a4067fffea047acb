"""Where f-DPO converges with every pair in its training set."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from alignlab.numerics.population import Population, bradley_terry_scores, normalised


def _power(slope: Tensor, alpha: float) -> Tensor:
    return -torch.log((1 - alpha * slope).clamp_min(1e-300)) / alpha


RATIOS: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "reverse_kl": lambda slope, alpha: slope,
    "forward_kl": lambda slope, alpha: _power(slope, 1.0),
    "jensen_shannon": lambda slope, alpha: -torch.log(torch.expm1(math.log(2) - slope).clamp_min(1e-300)),
    "alpha": _power,
}
"""log u from f'(u), scaled to be 0 at u = 1; a slope that no u has gives a very large one."""


def fixed_point(world: Population, *, beta: float, divergence: str, alpha: float) -> Tensor:
    """The maximum of E[r] - beta D_f(pi || ref): f'(pi/ref) = (r - lambda) / beta, lambda making it sum to 1.

    The loss is the likelihood of labels under differences of beta f'(pi/ref), which must equal the Bradley-Terry scores
    of the labels up to a constant. Reverse KL gives pi*, forward KL beta ref / (lambda - r), Jensen-Shannon
    ref / (2 exp((lambda - r) / beta) - 1), of another lambda each (arXiv 2309.16240).
    """
    scores = bradley_terry_scores(world.preference, world.sampling)
    ratio = RATIOS[divergence]
    return normalised(lambda level: world.reference + ratio((scores - level) / beta, alpha), len(scores))
