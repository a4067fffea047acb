"""The shared reward model as a reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from alignlab.data.schema import Prompt
from alignlab.models.frozen import Frozen
from alignlab.rollout.batch import Rollouts


class LearnedReward(nn.Module):
    """Scores token ids as they were sampled; nothing is decoded and encoded again."""

    def __init__(self, *, scorer: nn.Module, source: Any = None, tokenizer: Any = None, rows: int = 256) -> None:
        super().__init__()
        self.scorer = Frozen(scorer)
        self.rows = rows

    def score(self, rollouts: Rollouts, prompts: Sequence[Prompt]) -> Tensor:
        """Score of each completion, in preference logits, mean 0 on SFT samples: (B,)."""
        return torch.cat([self.scorer(chunk) for chunk in rollouts.sequences.micro(self.rows)])
