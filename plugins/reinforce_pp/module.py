"""REINFORCE++ as a rollout method."""

from __future__ import annotations

import torch
from torch import Tensor

from alignlab.modules.optimise import all_sum
from alignlab.modules.rollouts import Chunk, Experience, RolloutModule
from alignlab.numerics.divergence import ESTIMATORS
from alignlab.numerics.surrogate import Whole, clipped_surrogate, token_mean, token_ratio

from .config import ReinforcePPConfig
from .loss import advantages


class ReinforcePPModule(RolloutModule):
    """The policy, updated on whitened advantages."""

    config: ReinforcePPConfig

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """Advantages over the whole rollout, then the updates on it."""
        config, logps, reference = self.config, experience.logps, experience.reference
        in_reward = config.kl_place == "reward"
        kl = ESTIMATORS[config.kl_estimator](logps, reference) if in_reward else torch.zeros_like(logps)
        whitened = advantages(
            experience.rewards.to(logps.dtype),
            kl,
            experience.sequences.completion,
            group_size=config.group_size,
            baseline=config.baseline,
            beta=config.beta,
            total=all_sum,
        )
        columns = dict(logps=logps, advantages=whitened) | ({} if in_reward else dict(reference=reference))
        return self.passes(experience.sequences, columns, batch_idx, self._loss)

    def _loss(self, chunk: Chunk) -> tuple[Tensor, dict[str, Tensor]]:
        """Share of some rows in the loss of their minibatch."""
        config, known, mask = self.config, chunk.columns, chunk.sequences.completion
        logps = self.policy(chunk.sequences).logps
        if chunk.first:
            self.gate_ratio(logps, known["logps"], mask)
        ratio = token_ratio(logps, known["logps"], mask)
        bounds = dict(clip_low=config.clip_low, clip_high=config.clip_high)
        outside = (ratio < 1 - config.clip_low) | (ratio > 1 + config.clip_high)
        parts = {"policy_loss": clipped_surrogate(ratio, known["advantages"], **bounds), "clip_fraction": outside}
        if "reference" in known:
            parts["kl_loss"] = ESTIMATORS[config.kl_estimator](logps, known["reference"])
        whole = Whole(chunk.tokens, chunk.rows)
        means = {name: token_mean(part, mask, whole) for name, part in parts.items()}
        return means["policy_loss"] + config.beta * means.get("kl_loss", 0.0), means
