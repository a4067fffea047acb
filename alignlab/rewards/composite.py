"""A weighted sum of rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from alignlab.data.schema import Prompt
from alignlab.rewards.kinds import CompositeConfig
from alignlab.rollout.batch import Rollouts


class CompositeReward(nn.Module):
    """Sum of weight x score over its parts; nothing is rescaled, so weights are in units of each part's own score."""

    def __init__(self, config: CompositeConfig, *, parts: Sequence[nn.Module], **given: Any) -> None:
        super().__init__()
        self.parts: Any = nn.ModuleList(parts)
        self.weights = [term.weight for term in config.terms]

    def score(self, rollouts: Rollouts, prompts: Sequence[Prompt]) -> Tensor:
        """Score of each completion: (B,)."""
        scores = [part.score(rollouts, prompts) for part in self.parts]
        return torch.stack([weight * score for weight, score in zip(self.weights, scores, strict=True)]).sum(0)
