"""What a policy's distributions say about completions it sampled: exact KL, its estimators, entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from alignlab.data.batch import Sequences
from alignlab.errors import DataError
from alignlab.numerics.divergence import exact_kl, k1, k3
from alignlab.numerics.logps import entropy, select_logps

Logits = Callable[[Sequences], Tensor]
"""(B, T) sequences -> (N, V) logits that predict their N completion tokens, row after row, at temperature 1."""

BUDGET = 1 << 24
"""Logits worked on at once: 64 MiB in float32, a few times that with temporaries."""


class TokenMeasures(NamedTuple):
    """One figure for each completion, each (B,), float64 on the CPU, in nats."""

    kl: Tensor
    """KL(policy || reference) of the next token, summed over the completion. Its mean over samples of the policy
    is an unbiased estimate of the KL of whole completions, with less variance than k1 (Rao-Blackwell)."""
    k1: Tensor
    """log policy - log reference of the completion: unbiased, noisy, may be negative."""
    k3: Tensor
    """Sum over tokens of expm1(-log-ratio) + log-ratio: unbiased, never negative."""
    entropy: Tensor
    """Mean over tokens of the next token's entropy."""
    logp: Tensor
    """Log-probability of the completion under the policy."""


@torch.no_grad()
def measure_tokens(
    policy: Logits, reference: Logits, sequences: Sequences, *, rows: int = 64, budget: int = BUDGET
) -> TokenMeasures:
    """Measure completions `rows` at a time, at most `budget` logits of each model at once in the arithmetic.

    Raises DataError for a completion without a token: it has no entropy.
    """
    if sequences.rows and int(sequences.lengths.min()) < 1:
        empty = int(sequences.lengths.argmin())
        raise DataError(f"completion {empty} has no token", "a reply consists of at least its end token")
    sums = [_sums(policy(part), reference(part), part, budget) for part in sequences.micro(rows)]
    total = torch.cat(sums) if sums else torch.zeros(0, 5, dtype=torch.float64)
    kl, first, third, spread, logp = total.unbind(-1)
    return TokenMeasures(kl, first, third, spread / sequences.lengths.double().cpu(), logp)


def _sums(policy: Tensor, reference: Tensor, part: Sequences, budget: int) -> Tensor:
    """Token measures summed over each row of a slice: (N, V) logits of both -> (B, 5)."""
    ids = part.ids[part.completion]
    step = max(1, budget // policy.shape[-1])
    pieces = [
        _tokens(policy[start : start + step], reference[start : start + step], ids[start : start + step])
        for start in range(0, len(ids), step)
    ]
    owner = part.completion.nonzero()[:, 0]
    out = torch.zeros(part.rows, 5, dtype=torch.float64, device=ids.device)
    return out.index_add(0, owner, torch.cat(pieces)).cpu()


def _tokens(policy: Tensor, reference: Tensor, ids: Tensor) -> Tensor:
    logps, base = select_logps(policy, ids), select_logps(reference, ids)
    columns = (exact_kl(policy, reference), k1(logps, base), k3(logps, base), entropy(policy), logps)
    return torch.stack(columns, -1).double()
