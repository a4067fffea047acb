"""Bradley-Terry likelihoods shared by reward models and preference objectives."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry(difference: Tensor, probability: Tensor | float = 1.0) -> Tensor:
    """Negative log-likelihood of a (soft) preference under P(first) = sigmoid(difference).

        -p log sigmoid(d) - (1 - p) log sigmoid(-d)

    difference (B,), probability (B,) or scalar in [0, 1] -> (B,).
    """
    return -probability * logsigmoid(difference) - (1 - probability) * logsigmoid(-difference)
