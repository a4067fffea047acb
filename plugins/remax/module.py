"""ReMax as a rollout method: one sampled and one greedy completion of each prompt."""

from __future__ import annotations

import torch
from torch import Tensor

from alignlab.models.parts import Parts
from alignlab.modules.optimise import all_sum
from alignlab.modules.rollouts import Chunk, Experience, RolloutModule
from alignlab.numerics.surrogate import Whole, token_mean

from .config import ReMaxConfig
from .loss import advantages


class ReMaxModule(RolloutModule):
    """The policy, judged against what it would say when it does not sample."""

    config: ReMaxConfig

    def __init__(self, config: ReMaxConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.greedy = parts.new_engine(self.policy, temperature=0)

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """Advantages over the greedy completions, then the updates."""
        config, logps = self.config, experience.logps
        greedy = self.greedy_scores(experience, batch_idx)
        gains = advantages(
            experience.rewards.to(logps.dtype),
            greedy.to(logps.dtype).repeat_interleave(config.group_size),
            logps - experience.reference,
            experience.sequences.completion,
            beta=config.beta,
            discount=config.discount,
            kl_credit=config.kl_credit,
        )
        metrics = self.passes(experience.sequences, dict(logps=logps, advantages=gains), batch_idx, self._loss)
        total, count = all_sum(torch.stack([greedy.double().sum(), torch.ones_like(greedy).double().sum()])).tolist()
        return metrics | {"train/greedy_score": total / count}

    @torch.no_grad()
    def greedy_scores(self, experience: Experience, batch_idx: int) -> Tensor:
        """Reward of the present policy's greedy completion of each prompt, less the missing-end penalty, (B / G,)."""
        every = slice(None, None, self.config.group_size)
        ids = [prompt for prompt, _ in experience.sequences.split()[every]]
        noise = self.noise(len(ids), batch_idx, "greedy")
        rollouts = self.greedy.sample(ids, noise._replace(rows=noise.rows[every]))
        raw = self.parts.scorer("reward").score(rollouts, experience.prompts[every])
        scores: Tensor = raw - self.config.missing_end_penalty * (~rollouts.ended)
        return scores

    def _loss(self, chunk: Chunk) -> tuple[Tensor, dict[str, Tensor]]:
        """Share of some rows in the loss of their minibatch."""
        known, mask = chunk.columns, chunk.sequences.completion
        logps = self.policy(chunk.sequences).logps
        if chunk.first:
            self.gate_ratio(logps, known["logps"], mask)
        return token_mean(-known["advantages"] * logps, mask, Whole(chunk.tokens, chunk.rows)), {}
