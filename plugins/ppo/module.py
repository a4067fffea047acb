"""PPO as a rollout method. Everything of one iteration happens in one training step."""

from __future__ import annotations

import torch
from torch import Tensor

from alignlab.data.batch import Sequences, length_cuts
from alignlab.errors import ConfigError
from alignlab.models.parts import Parts
from alignlab.modules.optimise import adamw, all_sum, update
from alignlab.modules.rollouts import Experience, RolloutModule
from alignlab.numerics.masked import explained_variance, whiten
from alignlab.numerics.surrogate import clipped_policy_loss, clipped_value_loss

from .config import PPOConfig
from .loss import adapted_beta, targets


class PPOModule(RolloutModule):
    """Policy and a separate value model, updated together over minibatches of each rollout."""

    config: PPOConfig

    def __init__(self, config: PPOConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.value = parts.new_value(config.value_init)
        self.register_buffer("beta", torch.tensor(config.beta, dtype=torch.float64))

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """Advantages, then `ppo_epochs` passes over the rollout."""
        config, mask = self.config, experience.sequences.completion
        beta = float(self.beta)
        with torch.no_grad():
            old_values = self.in_chunks(experience.sequences, self.value.state_values)
        advantages, returns = targets(
            experience.scores,
            experience.logps,
            experience.reference_logps,
            old_values,
            mask,
            beta=beta,
            discount=config.discount,
            gae_lambda=config.gae_lambda,
        )
        variance = float(explained_variance(old_values, returns, mask, total=all_sum))
        if config.whiten_advantages:
            advantages = whiten(advantages, mask, total=all_sum)
        columns = torch.stack([experience.logps, advantages, old_values, returns], -1)
        metrics = self._passes(experience.sequences, columns, batch_idx)
        if config.kl_target is not None:
            log_ratio = (experience.logps - experience.reference_logps).sum(-1)
            kl = float(all_sum(log_ratio.sum()) / all_sum(torch.ones_like(log_ratio).sum()))
            self.beta.fill_(adapted_beta(beta, kl, config.kl_target, config.batch_size, config.kl_horizon))
        return metrics | {"train/beta": beta, "train/explained_variance": variance}

    def _passes(self, sequences: Sequences, columns: Tensor, batch_idx: int) -> dict[str, float]:
        config = self.config
        processes = self.trainer.world_size
        if config.batch_size // processes < config.minibatches:
            raise ConfigError(
                f"algo.batch_size={config.batch_size} over {processes} processes leaves some with fewer rows than "
                f"algo.minibatches={config.minibatches}",
                "pass a larger algo.batch_size or fewer algo.minibatches",
            )
        updates, sums = config.ppo_epochs * config.minibatches, dict[str, float]()
        total = self.parts.total * updates
        for epoch in range(config.ppo_epochs):
            seed = self.parts.seeds.of("data", "minibatch", batch_idx, epoch)
            order = torch.randperm(sequences.rows, generator=torch.Generator().manual_seed(seed))
            for number, rows in enumerate(order.tensor_split(config.minibatches)):
                rows = rows.to(columns.device)
                step = batch_idx * updates + epoch * config.minibatches + number
                self._minibatch(sequences.select(rows), columns[rows], step, total, sums)
        return {f"train/{name}": value / updates for name, value in sums.items()}

    def _minibatch(self, sequences: Sequences, columns: Tensor, step: int, total: int, sums: dict[str, float]) -> None:
        config = self.config
        cuts = length_cuts(sequences.attention.sum(-1), self.parts.micro_batch_size)
        chunks = [(sequences.select(part).trim(), columns[part]) for part in cuts]
        tokens = all_sum(sequences.completion.sum())
        first = step % (config.ppo_epochs * config.minibatches) == 0
        counts = torch.zeros(3, device=columns.device, dtype=torch.float64)

        def loss_of(chunk: tuple[Sequences, Tensor]) -> Tensor:
            rows, data = chunk
            old_logps, advantages, old_values, returns = data[:, : rows.ids.shape[1]].unbind(-1)
            mask, logps = rows.completion, self.policy(rows).logps
            if first:
                self.gate_ratio(logps, old_logps, mask, step)
            values = self.value.state_values(rows)
            policy_loss = clipped_policy_loss(logps, old_logps, advantages, clip=config.clip)
            value_loss = clipped_value_loss(values, old_values, returns, clip=config.value_clip)
            counts.add_(_counts(logps - old_logps, policy_loss, value_loss, mask, config.clip))
            return ((policy_loss + config.value_coef * value_loss) * mask).sum() / tokens

        loss, norm = update(self, chunks, loss_of, config, step=step, total=total)
        clipped, policy_part, value_part = (all_sum(counts) / tokens).tolist()
        values = {
            "loss": loss,
            "grad_norm": norm,
            "clip_fraction": clipped,
            "policy_loss": policy_part,
            "value_loss": value_part,
        }
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over policy and value model, each clipped on its own."""
        return adamw(self.config, (self.policy, 1.0), (self.value, self.config.value_lr_scale))


@torch.no_grad()
def _counts(log_ratio: Tensor, policy_loss: Tensor, value_loss: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Sums over tokens: ratios outside the clip range, policy loss, value loss. (3,)"""
    outside = ((log_ratio.exp() - 1).abs() > clip) & mask
    return torch.stack([outside.sum(), (policy_loss * mask).sum(), (value_loss * mask).sum()]).double()
