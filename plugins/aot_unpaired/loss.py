"""The unpaired AOT objective as a pure function of log-probabilities.

Left out of the paper: unequal numbers of chosen and rejected completions, differentiable sorting, and other convex
losses than the logistic.
"""

import torch
from torch import Tensor

from alignlab.numerics.logps import PairLogps
from alignlab.numerics.preference import PairTerms, bradley_terry


def aot_unpaired_loss(
    policy: PairLogps, reference: PairLogps, *, beta: float, matched_chosen: Tensor, matched_rejected: Tensor
) -> PairTerms:
    """Logistic loss of each completion's log-ratio against the other side's of the same rank: (B,) each.

        W = log pi/ref(y_w),    L = log pi/ref(y_l)
        loss = -log sigmoid(beta [W_(i) - L_(i)]), (i) the i-th smallest of the batch

    Unpaired AOT of arXiv 2406.05882. From `match`, (B,): `matched_chosen` holds W at the rank of each row's L,
    `matched_rejected` L at the rank of its W. The implicit margin is that of the pair itself, as in DPO.
    """
    chosen, rejected = policy.minus(reference)
    both = bradley_terry(beta * (chosen - matched_rejected)) + bradley_terry(beta * (matched_chosen - rejected))
    # Each rank is met twice, by the row of its chosen and by that of its rejected, each time with a gradient for that
    # side only. The gradients add up to the whole; of the values, half is taken off again.
    return PairTerms(both - both.detach() / 2, beta * (chosen - rejected))


def match(policy: PairLogps, reference: PairLogps) -> dict[str, Tensor]:
    """For either completion of each row, the log-ratio of the same rank on the other side, (B,)."""
    chosen, rejected = policy.minus(reference)
    return {"matched_chosen": _at_ranks_of(rejected, chosen), "matched_rejected": _at_ranks_of(chosen, rejected)}


def _at_ranks_of(keys: Tensor, values: Tensor) -> Tensor:
    """`values` in the order of `keys`, the smallest beside the smallest, (B,); ties in row order."""
    matched = torch.empty_like(values)
    matched[keys.argsort(stable=True)] = values.sort().values
    return matched
