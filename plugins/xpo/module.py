"""XPO as a rollout method: the named pair objective on the policy's sample and the reference's, plus optimism."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from alignlab.data.batch import Sequences
from alignlab.models.parts import Parts
from alignlab.modules.judged import learn_from_pairs
from alignlab.modules.optimise import all_sum
from alignlab.modules.rivals import neighbours, rivals
from alignlab.modules.rollouts import Experience, RolloutModule

from .config import XPOConfig
from .loss import optimism, scheduled


class XPOModule(RolloutModule):
    """Each prompt is answered by the policy and by the reference."""

    config: XPOConfig

    def __init__(self, config: XPOConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.rival = parts.new_engine(parts.reference.model)
        self.alpha = config.alpha

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """Sample and score the reference's side, then take every update on the pairs."""
        config, own = self.config, experience
        other = rivals(self, self.rival, own, batch_idx)
        rows = other.rollouts.sequences
        with torch.no_grad():
            logps = self.in_chunks(rows, lambda part: self.policy(part).logps)
            reference = self.in_chunks(rows, lambda part: self.parts.reference(part).logps)
        sides = torch.zeros_like(own.rewards), torch.ones_like(other.rewards)
        columns = dict(
            logps=neighbours(own.logps, logps),
            reference=neighbours(own.reference, reference),
            from_reference=neighbours(*sides),
        )
        sequences = Sequences(*map(neighbours, own.sequences, rows))
        rewards = neighbours(own.rewards, other.rewards)
        self.alpha = scheduled(config.alpha, config.alpha_schedule, batch_idx, self.parts.total)
        metrics = learn_from_pairs(
            self, sequences, columns, rewards, batch_idx, labels=config.labels, added=self._optimism
        )
        wins = (own.rewards > other.rewards).double() + 0.5 * (own.rewards == other.rewards).double()
        won, pairs = all_sum(torch.stack([wins.sum(), torch.ones_like(wins).sum()])).tolist()
        return metrics | {"train/win_rate": won / pairs, "train/alpha": self.alpha}

    def _optimism(self, logps: Tensor, known: Mapping[str, Tensor]) -> Tensor:
        """The optimism term of each pair, (p,)."""
        return optimism(logps, known["from_reference"], alpha=self.alpha)
