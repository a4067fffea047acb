"""The objective of the supervised phase as a pure function of log-probabilities."""

from torch import Tensor


def revision_loss(logps: Tensor) -> Tensor:
    """Negative log-likelihood of each token of a revision: (B, T) -> (B, T). Section 3.1 of arXiv 2212.08073."""
    return -logps
