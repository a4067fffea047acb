"""Log-probabilities from logits, in at least float32."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class CompletionLogps(NamedTuple):
    """Log-probabilities of single completions, summed over tokens, each of shape (B,)."""

    logps: Tensor
    lengths: Tensor
    """Completion tokens, the end token included, (B,)."""


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

    @property
    def averaged(self) -> PairLogps:
        """Mean per token in place of the sum; what has been averaged stays as it is."""
        one = torch.ones_like(self.chosen_lengths)
        return PairLogps(self.chosen / self.chosen_lengths, self.rejected / self.rejected_lengths, one, one)

    @property
    def swapped(self) -> PairLogps:
        """The pair with the opposite preference."""
        return PairLogps(self.rejected, self.chosen, self.rejected_lengths, self.chosen_lengths)

    def minus(self, reference: PairLogps) -> tuple[Tensor, Tensor]:
        """log pi / ref of chosen and of rejected, (B,) each."""
        return self.chosen - reference.chosen, self.rejected - reference.rejected


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
