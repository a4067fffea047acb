"""The shared reward model as a reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from alignlab.data.batch import over_rows
from alignlab.data.schema import Prompt
from alignlab.models.frozen import Frozen
from alignlab.rewards.config import RewardConfig
from alignlab.rollout.batch import Rollouts


class LearnedReward(nn.Module):
    """Scores token ids as they were sampled; nothing is decoded and encoded again."""

    def __init__(self, config: RewardConfig | None = None, *, scorer: nn.Module, **given: Any) -> None:
        super().__init__()
        self.scorer = Frozen(scorer)

    def score(self, rollouts: Rollouts, prompts: Sequence[Prompt]) -> Tensor:
        """Score of each completion, in preference logits, mean 0 on SFT samples: (B,)."""
        return over_rows(rollouts.sequences, self.scorer)
