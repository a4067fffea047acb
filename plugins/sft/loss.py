"""The SFT objective as a pure function of log-probabilities."""

from torch import Tensor


def sft_loss(logps: Tensor) -> Tensor:
    """Negative log-likelihood of each completion token: (B, T) -> (B, T). Stage 1 of arXiv 2203.02155."""
    return -logps
