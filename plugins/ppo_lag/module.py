"""PPO-Lagrangian as a rollout method. The multiplier moves before the updates of each rollout."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from alignlab.data.batch import DemonstrationBatch
from alignlab.models.parts import Parts
from alignlab.modules.optimise import adamw, all_sum
from alignlab.modules.rollouts import Chunk, Experience, RolloutModule
from alignlab.numerics.masked import explained_variance, whiten
from alignlab.numerics.surrogate import Whole, clipped_policy_loss, clipped_value_loss, sequence_mean

from .config import LagrangianConfig
from .loss import Targets, combined, imitation, next_log_multiplier, pushed, targets

STREAMS = {"reward": ("", 1.0), "cost": ("cost_", -1.0)}
"""What each stream of scores is called in metrics, and the sign of the KL price in it."""


class LagrangianModule(RolloutModule):
    """The policy, and a value model for each of reward and cost."""

    config: LagrangianConfig
    log_multiplier: Tensor
    """A scalar."""
    recent_costs: Tensor
    """Mean costs of the last rollouts, (cost_window,)."""
    demonstrations: DemonstrationBatch | None = None
    """What is imitated in this iteration, where anything is."""

    def __init__(self, config: LagrangianConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        starts = {name: name if config.value_init == "reward" else config.value_init for name in STREAMS}
        self.models = {name: parts.new_value(start) for name, start in starts.items()}
        self.values = nn.ModuleDict(self.models)  # the same, in checkpoints
        self.register_buffer("log_multiplier", torch.tensor(math.log(config.multiplier), dtype=torch.float64))
        self.register_buffer("recent_costs", torch.zeros(config.cost_window, dtype=torch.float64))

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """The multiplier, advantages under it, then the passes over the rollout."""
        config, sequences = self.config, experience.sequences
        mean_cost = self._move_multiplier(experience.scores["cost"], batch_idx)
        found, columns = {}, {"logps": experience.logps}
        metrics = {"train/multiplier": float(self.log_multiplier.exp()), "train/mean_cost": mean_cost}
        for name, (label, _) in STREAMS.items():
            found[name], old = self._targets(experience, name)
            columns |= {f"{name}_values": old, f"{name}_returns": found[name].returns}
            variance = explained_variance(old, found[name].returns, sequences.completion, total=all_sum)
            metrics[f"train/{label}explained_variance"] = float(variance)
        advantages = combined(found["reward"].advantages, found["cost"].advantages, self.log_multiplier)
        if config.whiten_advantages:
            advantages = whiten(advantages, sequences.completion, total=all_sum)
        if config.ptx_weight:
            share = self.parts.auxiliary(batch_idx, self.trainer.global_rank, self.trainer.world_size)
            self.demonstrations = share.to(self.device)
        return metrics | self.passes(sequences, columns | {"advantages": advantages}, batch_idx, self._loss)

    def _move_multiplier(self, costs: Tensor, batch_idx: int) -> float:
        """Take in the costs of a rollout, (B,), and answer them; returns the mean that the constraint is about."""
        config = self.config
        mean = all_sum(costs.double().sum()) / all_sum(torch.ones_like(costs, dtype=torch.float64).sum())
        self.recent_costs.copy_(pushed(self.recent_costs, mean))
        moving = self.recent_costs[-(batch_idx + 1) :].mean()
        if batch_idx >= config.multiplier_delay:
            settings = dict(threshold=config.threshold, lr=config.multiplier_lr, most=config.multiplier_max)
            self.log_multiplier.copy_(next_log_multiplier(self.log_multiplier, moving, **settings))
        return float(moving)

    @torch.no_grad()
    def _targets(self, experience: Experience, name: str) -> tuple[Targets, Tensor]:
        """Advantages and returns of a stream, and the values they start from, (B, T) each."""
        config = self.config
        old = self.in_chunks(experience.sequences, self.models[name].state_values)
        found = targets(
            experience.scores[name],
            experience.logps,
            experience.reference,
            old,
            experience.sequences.completion,
            beta=STREAMS[name][1] * config.beta,
            limit=config.score_limit,
            discount=config.discount,
            gae_lambda=config.gae_lambda,
        )
        return found, old

    def _loss(self, chunk: Chunk) -> tuple[Tensor, dict[str, Tensor]]:
        """Policy and value losses of some rows, each a share of its mean over the minibatch."""
        config, known, mask = self.config, chunk.columns, chunk.sequences.completion
        logps, whole = self.policy(chunk.sequences).logps, Whole(chunk.tokens, chunk.rows)
        if chunk.first:
            self.gate_ratio(logps, known["logps"], mask)
        outside = ((logps.detach() - known["logps"]).exp() - 1).abs() > config.clip
        policy_loss = clipped_policy_loss(logps, known["logps"], known["advantages"], clip=config.clip)
        shares = {"policy_loss": sequence_mean(policy_loss, mask, whole)}
        for name, model in self.models.items():
            old, returns = known[f"{name}_values"], known[f"{name}_returns"]
            error = clipped_value_loss(model.state_values(chunk.sequences), old, returns, clip=config.value_clip)
            shares[f"{STREAMS[name][0]}value_loss"] = sequence_mean(error, mask, whole)
        loss = sum(shares.values(), torch.zeros((), device=logps.device))
        if self.demonstrations is not None:
            shares["ptx_loss"] = self._imitation(self.demonstrations, chunk)
            loss = loss + config.ptx_weight * shares["ptx_loss"]
        return loss, shares | {"clip_fraction": (outside * mask).sum() / chunk.tokens}

    def _imitation(self, demonstrations: DemonstrationBatch, chunk: Chunk) -> Tensor:
        """Share of the mean over a minibatch's demonstrations: every completion brings its own along."""
        rows = demonstrations.select(chunk.part % len(demonstrations)).sequences
        return imitation(self.policy(rows).logps, rows.completion).sum() / chunk.rows

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over policy and value models, each clipped on its own."""
        scale = self.config.value_lr_scale
        return adamw(self.config, (self.policy, 1.0), *((model, scale) for model in self.values.values()))
