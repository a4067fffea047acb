"""Nash-MD as a rollout method."""

from __future__ import annotations

import torch
from torch import Tensor

from alignlab.models.parts import Parts
from alignlab.modules.optimise import all_sum
from alignlab.modules.rivals import rivals
from alignlab.modules.rollouts import Chunk, Experience, RolloutModule
from alignlab.rollout.mixture import MixtureEngine

from .config import NashMDConfig
from .loss import advantages


class NashMDModule(RolloutModule):
    """Every sample meets one sample of the mixture."""

    config: NashMDConfig

    def __init__(self, config: NashMDConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.opponent = MixtureEngine(
            [self.policy, parts.reference.model],
            [1 - config.mixture, config.mixture],
            sampling=parts.engine.sampling,
            end_ids=parts.end_ids,
            pad_id=parts.pad_id,
        )

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """One comparison a completion, then the update."""
        config, mask = self.config, experience.sequences.completion
        other = rivals(self, self.opponent, experience, batch_idx).rewards
        preference = (experience.rewards - other).sigmoid()
        earned = advantages(
            preference,
            experience.logps,
            experience.reference,
            mask,
            beta=config.beta,
            kl_discount=config.kl_discount,
        )
        columns = dict(logps=experience.logps, advantages=earned)
        metrics = self.passes(experience.sequences, columns, batch_idx, self._loss)
        lead = experience.rewards - other
        sums = all_sum(torch.stack([torch.ones_like(lead).sum(), preference.sum(), lead.sum()]).double())
        count, wins, leads = sums.tolist()
        return metrics | {"train/win_rate": wins / count, "train/score_lead": leads / count}

    def _loss(self, chunk: Chunk) -> tuple[Tensor, dict[str, Tensor]]:
        """Minus the sum of A_t log pi(y_t), a share of the mean over completions: only its gradient means anything."""
        logps, mask = self.policy(chunk.sequences).logps, chunk.sequences.completion
        if chunk.first:
            self.gate_ratio(logps, chunk.columns["logps"], mask)
        return -(chunk.columns["advantages"] * logps * mask).sum() / chunk.rows, {}
