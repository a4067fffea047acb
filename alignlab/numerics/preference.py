"""What reward models and preference objectives share: the Bradley-Terry likelihood, and what an objective yields."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import logsigmoid


class PairTerms(NamedTuple):
    """What a pair objective yields for each pair, shapes (B,)."""

    loss: Tensor
    implicit_margin: Tensor
    """Implicit reward of chosen minus that of rejected; its sign is the accuracy."""


def bradley_terry(difference: Tensor, probability: Tensor | float = 1.0) -> Tensor:
    """Negative log-likelihood of a (soft) preference under P(first) = sigmoid(difference).

        -p log sigmoid(d) - (1 - p) log sigmoid(-d)

    difference (B,), probability (B,) or scalar in [0, 1] -> (B,).
    """
    return -probability * logsigmoid(difference) - (1 - probability) * logsigmoid(-difference)
