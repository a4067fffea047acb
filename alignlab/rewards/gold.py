"""The true score of an embedded world as a reward: an oracle to measure others against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from alignlab.data.schema import Prompt
from alignlab.errors import ConfigError
from alignlab.rewards.kinds import GoldConfig
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.texts import texts_of


class GoldReward(nn.Module):
    """Asks the source for the true score of each decoded completion."""

    def __init__(self, config: GoldConfig, *, source: Any, tokenizer: Any, **given: Any) -> None:
        super().__init__()
        self.source, self.tokenizer = source, tokenizer

    def score(self, rollouts: Rollouts, prompts: Sequence[Prompt]) -> Tensor:
        """True score of each completion, about [-1, 1]: (B,)."""
        texts = texts_of(rollouts, self.tokenizer)
        ended = rollouts.ended.tolist()
        scores = [self.source.gold(*row) for row in zip(prompts, texts, ended, strict=True)]
        if any(score is None for score in scores):
            raise ConfigError(f"data source {self.source.name!r} knows no gold score", "pass reward=learned")
        return torch.tensor(scores, dtype=torch.float32, device=rollouts.logps.device)
