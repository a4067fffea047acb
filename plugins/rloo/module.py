"""RLOO as a rollout method."""

from __future__ import annotations

from torch import Tensor

from alignlab.modules.rollouts import Chunk, Experience, RolloutModule
from alignlab.numerics.surrogate import Whole

from .config import RLOOConfig
from .loss import SURROGATES, advantages


class RLOOModule(RolloutModule):
    """The policy, updated on groups of its own completions."""

    config: RLOOConfig

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """Advantages over the whole rollout, then the updates on it."""
        config, logps = self.config, experience.logps
        compared = advantages(
            experience.rewards.to(logps.dtype),
            logps - experience.reference,
            experience.sequences.completion,
            group_size=config.group_size,
            beta=config.beta,
            kl_place=config.kl_place,
        )
        return self.passes(experience.sequences, dict(logps=logps, advantages=compared), batch_idx, self._loss)

    def _loss(self, chunk: Chunk) -> tuple[Tensor, dict[str, Tensor]]:
        """Share of some rows in the loss of their minibatch."""
        config, known, mask = self.config, chunk.columns, chunk.sequences.completion
        logps = self.policy(chunk.sequences).logps
        if chunk.first:
            self.gate_ratio(logps, known["logps"], mask)
        whole = Whole(chunk.tokens, chunk.rows)
        surrogate = SURROGATES[config.surrogate]
        return surrogate(logps, known["logps"], known["advantages"], mask, whole, clip=config.clip), {}
