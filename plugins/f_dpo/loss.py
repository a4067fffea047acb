"""The f-DPO objective as a pure function of log-probabilities.

Total variation and chi-squared are left out: the paper's derivation needs an f' that is not defined at 0, theirs is.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def f_dpo_loss(policy: PairLogps, reference: PairLogps, *, beta: float, divergence: str, alpha: float) -> PairTerms:
    """Bradley-Terry likelihood under the implicit reward of an f-divergence: (B,) each.

        r(y) = beta f'(pi(y) / ref(y))
        loss = -log sigmoid(r(y_w) - r(y_l))

    arXiv 2309.16240, with f' as in `DERIVATIVES`.
    """
    derivative = DERIVATIVES[divergence]
    chosen, rejected = policy.minus(reference)
    margin = beta * (derivative(chosen, alpha) - derivative(rejected, alpha))
    return PairTerms(bradley_terry(margin), margin)


def power(rho: Tensor, alpha: float) -> Tensor:
    """(1 - u^-alpha) / alpha for u = e^rho, (B,) -> (B,)."""
    return -expm1(-alpha * rho) / alpha


DERIVATIVES: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "reverse_kl": lambda rho, alpha: rho,  # f = u log u
    "forward_kl": lambda rho, alpha: power(rho, 1.0),  # f = -log u
    "jensen_shannon": lambda rho, alpha: logsigmoid(rho) + math.log(2),  # f = u log u - (u + 1) log((u + 1) / 2)
    "alpha": power,  # f = (u^(1 - alpha) - (1 - alpha) u - alpha) / (alpha (alpha - 1))
}
"""f'(u) of each divergence as a function of rho = log u and alpha. A constant, which cancels, makes each 0 at u = 1."""


def expm1(x: Tensor) -> Tensor:
    """e^x - 1, continued along its tangent past x = 34 in float32 and 344 in float64: (B,) -> (B,).

    There a gradient's squared norm would overflow and end training. The tangent keeps pairs in order and their gradient
    pointing the right way, where a clamp would turn both completions of a pair into a tie.
    """
    bound = math.log(torch.finfo(x.dtype).max) / 2 - 10
    return x.clamp_max(bound).expm1() + math.exp(bound) * (x - bound).clamp_min(0)
