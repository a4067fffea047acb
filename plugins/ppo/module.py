"""PPO as a rollout method. Everything of one iteration happens in one training step."""

from __future__ import annotations

import torch
from torch import Tensor

from alignlab.data.batch import DemonstrationBatch
from alignlab.models.parts import Parts
from alignlab.modules.optimise import adamw, all_sum
from alignlab.modules.rollouts import Chunk, Experience, RolloutModule
from alignlab.numerics.masked import explained_variance, whiten
from alignlab.numerics.surrogate import clipped_policy_loss, clipped_value_loss

from .config import PPOConfig
from .loss import adapted_beta, imitation, targets


class PPOModule(RolloutModule):
    """Policy and a separate value model, updated together over minibatches of each rollout."""

    config: PPOConfig
    beta: Tensor
    """Price of KL, which follows `kl_target` where there is one, a scalar."""
    demonstrations: DemonstrationBatch | None = None
    """What is imitated in this iteration, where anything is: one for each completion of the rollout."""

    def __init__(self, config: PPOConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.value = parts.new_value(config.value_init)
        self.register_buffer("beta", torch.tensor(config.beta, dtype=torch.float64))

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """Advantages, then `rollout_epochs` passes over the rollout."""
        config, mask = self.config, experience.sequences.completion
        beta = float(self.beta)
        with torch.no_grad():
            old_values = self.in_chunks(experience.sequences, self.value.state_values)
        reference = experience.reference_logps
        advantages, returns = targets(
            experience.rewards,
            experience.logps,
            experience.logps if reference is None else reference,  # without a reference nothing is charged
            old_values,
            mask,
            beta=beta,
            discount=config.discount,
            gae_lambda=config.gae_lambda,
        )
        variance = float(explained_variance(old_values, returns, mask, total=all_sum))
        if config.whiten_advantages:
            advantages = whiten(advantages, mask, total=all_sum)
        columns = dict(logps=experience.logps, advantages=advantages, values=old_values, returns=returns)
        if config.ptx_weight:
            self.demonstrations = self._beside(experience, batch_idx)
        metrics = self.passes(experience.sequences, columns, batch_idx, self._loss)
        if config.kl_target is not None and reference is not None:
            log_ratio = (experience.logps - reference).sum(-1)
            kl = float(all_sum(log_ratio.sum()) / all_sum(torch.ones_like(log_ratio).sum()))
            self.beta.fill_(adapted_beta(beta, kl, config.kl_target, config.batch_size, config.kl_horizon))
        priced = {} if reference is None else {"train/beta": beta}
        return metrics | priced | {"train/explained_variance": variance}

    def _loss(self, chunk: Chunk) -> tuple[Tensor, dict[str, Tensor]]:
        """Policy and value loss of some rows, each a share of the mean over the minibatch's tokens."""
        config, known, mask = self.config, chunk.columns, chunk.sequences.completion
        logps = self.policy(chunk.sequences).logps
        if chunk.first:
            self.gate_ratio(logps, known["logps"], mask)
        values = self.value.state_values(chunk.sequences)
        policy_loss = clipped_policy_loss(
            logps, known["logps"], known["advantages"], clip=config.clip, dual_clip=config.dual_clip
        )
        value_loss = clipped_value_loss(values, known["values"], known["returns"], clip=config.value_clip)
        outside = ((logps.detach() - known["logps"]).exp() - 1).abs() > config.clip
        parts = {"clip_fraction": outside, "policy_loss": policy_loss, "value_loss": value_loss}
        means = {name: (part * mask).sum() / chunk.tokens for name, part in parts.items()}
        loss = means["policy_loss"] + config.value_coef * means["value_loss"]
        if self.demonstrations is None:
            return loss, means
        means["ptx_loss"] = self._imitation(self.demonstrations, chunk)
        return loss + config.ptx_weight * means["ptx_loss"], means

    def _beside(self, experience: Experience, batch_idx: int) -> DemonstrationBatch:
        """A demonstration for each completion, by its place in the global rollout, whichever process holds it."""
        whole: DemonstrationBatch = self.parts.auxiliary(batch_idx)
        places = self.noise(len(experience.ended) // experience.group_size, batch_idx).rows
        return whole.select(places % len(whole)).to(self.device)

    def _imitation(self, demonstrations: DemonstrationBatch, chunk: Chunk) -> Tensor:
        """Share of the mean over a minibatch's demonstrations: every completion brings its own along."""
        rows = demonstrations.select(chunk.part).sequences
        return imitation(self.policy(rows).logps, rows.completion).sum() / chunk.rows

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over policy and value model, each clipped on its own."""
        return adamw(self.config, (self.policy, 1.0), (self.value, self.config.value_lr_scale))
