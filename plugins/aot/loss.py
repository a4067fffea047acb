"""The paired AOT objective as a pure function of log-probabilities.

Left out of the paper: differentiable sorting, and other convex losses than the logistic.
"""

import torch
from torch import Tensor

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def aot_loss(policy: PairLogps, reference: PairLogps, *, beta: float, matched_margin: Tensor) -> PairTerms:
    """Logistic loss of each margin against the reference's of the same rank: (B,) each.

        M = log pi(y_w) - log pi(y_l),    N = log ref(y_w) - log ref(y_l)
        loss = -log sigmoid(beta [M_(i) - N_(i)]), (i) the i-th smallest of the batch

    Paired AOT of arXiv 2406.05882. `matched_margin` holds each row's N_(i), (B,), from `match`. The implicit margin is
    that of each pair's own reference, as in DPO.
    """
    loss = bradley_terry(beta * (policy.margin - matched_margin))
    return PairTerms(loss, beta * (policy.margin - reference.margin))


def match(policy: PairLogps, reference: PairLogps) -> dict[str, Tensor]:
    """The reference's margin at the rank of each policy margin, (B,); ties in row order."""
    matched = torch.empty_like(reference.margin)
    matched[policy.margin.argsort(stable=True)] = reference.margin.sort().values
    return {"matched_margin": matched}
