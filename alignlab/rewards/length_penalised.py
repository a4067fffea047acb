"""The reward model with a price on length, which reward models tend to pay for (arXiv 2310.03716)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from alignlab.data.batch import Sequences
from alignlab.rewards.kinds import LengthPenalisedConfig
from alignlab.rewards.learned import LearnedReward


def length_price(lengths: Tensor, coef: float, target: int) -> Tensor:
    """coef max(0, tokens - target) of each completion, (B,) -> (B,): per token where `target` is 0."""
    return coef * (lengths - target).clamp(min=0)


class PricedScorer(nn.Module):
    """A scorer, less the price of the completion's length."""

    def __init__(self, scorer: nn.Module, coef: float, target: int) -> None:
        super().__init__()
        self.scorer, self.coef, self.target = scorer, coef, target

    def forward(self, sequences: Sequences) -> Tensor:
        """Score of each row less its price: (B,)."""
        scores: Tensor = self.scorer(sequences)
        return scores - length_price(sequences.lengths, self.coef, self.target)


class LengthPenalisedReward(LearnedReward):
    """The reward model's mean on SFT samples is 0; this one's lies below by what their length costs."""

    def __init__(self, config: LengthPenalisedConfig, *, scorer: nn.Module, **given: Any) -> None:
        super().__init__(scorer=PricedScorer(scorer, config.coef, config.target))
