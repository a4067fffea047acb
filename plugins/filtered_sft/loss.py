"""The objective of filtered SFT as a pure function of log-probabilities."""

import torch
from torch import Tensor


def filtered_sft_loss(logps: Tensor, desirable: Tensor) -> Tensor:
    """Negative log-likelihood of desirable completions, 0 for others: (B,), bool (B,) -> (B,).

    Summed over tokens; the caller divides by `desirable_tokens`. "Preferred-FT" in §6 of arXiv 2305.18290.
    """
    return torch.where(desirable, -logps, 0.0)


def desirable_tokens(lengths: Tensor, desirable: Tensor) -> Tensor:
    """Completion tokens of desirable rows, a scalar: (B,), bool (B,) -> ()."""
    return (lengths * desirable).sum()
