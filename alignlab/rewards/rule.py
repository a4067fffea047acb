"""Declared conditions on a reply as a reward: no model, no data, no code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from alignlab.data.schema import Prompt
from alignlab.rewards.kinds import Rule, RuleConfig
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.texts import texts_of


def met(rule: Rule, text: str, tokens: int) -> bool:
    """Whether a reply of so many tokens, the end token included, meets the condition of a rule."""
    if rule.pattern is not None:
        return re.search(rule.pattern, text) is not None
    if rule.ending is not None:
        return text.endswith(rule.ending)
    return rule.max_tokens is not None and tokens <= rule.max_tokens


class RuleReward(nn.Module):
    """The sum of the weights of all rules that a reply meets; the text is that without end token and outer space."""

    def __init__(self, config: RuleConfig, *, tokenizer: Any, **given: Any) -> None:
        super().__init__()
        self.rules, self.tokenizer = config.typed, tokenizer

    def score(self, rollouts: Rollouts, prompts: Sequence[Prompt]) -> Tensor:
        """Score of each completion: (B,)."""
        rows = zip(texts_of(rollouts, self.tokenizer), rollouts.sequences.lengths.tolist(), strict=True)
        scores = [sum(rule.weight for rule in self.rules if met(rule, *row)) for row in rows]
        return torch.tensor(scores, dtype=torch.float32, device=rollouts.logps.device)
