"""Log-probabilities from logits, in at least float32."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class PairLogps(NamedTuple):
    """Log-probabilities of both completions of a pair, summed over tokens, each of shape (B,)."""

    chosen: Tensor
    rejected: Tensor
    chosen_lengths: Tensor
    """Completion tokens, the end token included, (B,)."""
    rejected_lengths: Tensor

    @property
    def margin(self) -> Tensor:
        """log p(chosen) - log p(rejected), (B,)."""
        return self.chosen - self.rejected


def upcast(logits: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def select_logps(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probability of the chosen ids: logits (..., V), ids (...) -> (...).

    `logits` must already be the ones that predict `ids`; nothing is shifted here.
    """
    logits = upcast(logits)
    return logits.gather(-1, ids.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)


def entropy(logits: Tensor) -> Tensor:
    """Shannon entropy in nats of softmax(logits): (..., V) -> (...)."""
    logp = upcast(logits).log_softmax(-1)
    return -(logp.exp() * logp).sum(-1)


def sequence_logps(token_logps: Tensor, mask: Tensor) -> Tensor:
    """Log-probability of whole completions: (B, T), (B, T) -> (B,)."""
    return (token_logps * mask).sum(-1)
