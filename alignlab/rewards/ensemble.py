"""Several reward models as one reward: where they disagree, none of them can be relied on.

Members are ordinary reward models of the same labels; a policy that learns to please one of them has not yet pleased
the others. Left out of arXiv 2310.02743: reward models from differently pre-trained bases, which disagree more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from alignlab.data.batch import Sequences
from alignlab.rewards.kinds import Combine, EnsembleConfig
from alignlab.rewards.learned import LearnedReward


def combined(scores: Tensor, combine: Combine, coef: float) -> Tensor:
    """One score of each completion from those of all members, (M, B) -> (B,).

        mean:         m = sum_i r_i / M
        minimum:      min_i r_i                                (worst case, arXiv 2310.02743)
        uncertainty:  m - coef s,    s^2 = sum_i (r_i - m)^2 / M
        variance:     m - coef s^2                             (uncertainty-weighted, arXiv 2310.02743)

    With the standard deviation s, `coef` has no unit; with the variance it is per unit of score.
    """
    if combine is Combine.minimum:
        return scores.amin(0)
    mean = scores.mean(0)
    if combine is Combine.mean:
        return mean
    variance = (scores - mean).square().mean(0)
    return mean - coef * (variance.sqrt() if combine is Combine.uncertainty else variance)


class Ensemble(nn.Module):
    """Members and how their scores are combined: called like a single scorer."""

    def __init__(self, members: Sequence[nn.Module], combine: Combine, coef: float) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.combine, self.coef = combine, coef

    def forward(self, sequences: Sequences) -> Tensor:
        """Combined score of each row: (B,)."""
        scores = torch.stack([member(sequences) for member in self.members])
        return combined(scores, self.combine, self.coef)


class EnsembleReward(LearnedReward):
    """Scores token ids by all members. Each has mean 0 on SFT samples; their minimum lies below."""

    def __init__(self, config: EnsembleConfig, *, scorers: Sequence[nn.Module], **given: Any) -> None:
        super().__init__(scorer=Ensemble(scorers, config.combine, config.coef))
