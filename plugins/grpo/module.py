"""GRPO as a rollout method: advantages from groups of completions, then PPO-like updates without a value model."""

from __future__ import annotations

import torch
from torch import Tensor

from alignlab.models.parts import Parts
from alignlab.modules.optimise import all_sum
from alignlab.modules.rollouts import Chunk, Experience, RolloutModule
from alignlab.numerics.divergence import ESTIMATORS, importance_weighted
from alignlab.numerics.surrogate import Whole, token_mean

from .config import GRPOConfig
from .loss import AGGREGATES, RATIOS, SURROGATES, flat, overlong, token_advantages, without


class GRPOModule(RolloutModule):
    """The policy, updated on groups of its own completions."""

    config: GRPOConfig

    def __init__(self, config: GRPOConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        bounded = config.aggregate == "constant" or config.overlong_penalty > 0
        self.limit = (config.length_limit or parts.engine.sampling.max_new_tokens) if bounded else 1

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """Advantages over the whole rollout, then the updates on it."""
        config, sequences = self.config, experience.sequences
        reference = experience.reference_logps
        rewards = experience.rewards.to(experience.logps.dtype)
        if config.overlong_penalty:
            excess = overlong(sequences.lengths.to(rewards.dtype), limit=self.limit, buffer=config.overlong_buffer)
            rewards = rewards - config.overlong_penalty * excess
        estimate = ESTIMATORS[config.kl_estimator]
        advantages = token_advantages(
            rewards,
            torch.zeros_like(experience.logps) if reference is None else estimate(experience.logps, reference),
            sequences.completion,
            group_size=config.group_size,
            beta=config.beta,
            kl_place=config.kl_place,
            baseline=config.baseline,
            advantage_std=config.advantage_std,
            std_eps=config.std_eps,
            total=all_sum,
        )
        columns = dict(logps=experience.logps, advantages=advantages)
        if config.kl_place == "loss" and reference is not None:
            columns["reference"] = reference
        same = flat(experience.grouped)
        if config.zero_std == "drop":
            sequences = without(sequences, same.repeat_interleave(config.group_size))
        metrics = self.passes(sequences, columns, batch_idx, self._loss)
        share = all_sum(same.double().sum()) / all_sum(torch.ones_like(same, dtype=torch.float64).sum())
        return metrics | {"train/flat_groups": float(share)}

    def _loss(self, chunk: Chunk) -> tuple[Tensor, dict[str, Tensor]]:
        """Share of some rows in the loss of their minibatch."""
        config, known, mask = self.config, chunk.columns, chunk.sequences.completion
        logps = self.policy(chunk.sequences).logps
        if chunk.first and bool(mask.any()):
            self.gate_ratio(logps, known["logps"], mask)
        ratio = RATIOS[config.ratio](logps, known["logps"], mask)
        bounds = dict(clip_low=config.clip_low, clip_high=config.clip_high)
        surrogate = SURROGATES[config.surrogate](
            ratio, logps, known["advantages"], **bounds, dual_clip=config.dual_clip
        )
        whole = Whole(chunk.tokens, chunk.rows * (self.limit if config.aggregate == "constant" else 1))
        loss = AGGREGATES[config.aggregate](surrogate, mask, whole)
        outside = (ratio < 1 - config.clip_low) | (ratio > 1 + config.clip_high)
        metrics = {"policy_loss": loss, "clip_fraction": token_mean(outside, mask, whole)}
        if "reference" in known:
            kl = ESTIMATORS[config.kl_estimator](logps, known["reference"])
            if config.kl_weight == "ratio":
                kl = importance_weighted(kl, logps, known["logps"])
            metrics["kl_loss"] = AGGREGATES[config.aggregate](kl, mask, whole)
            loss = loss + config.beta * metrics["kl_loss"]
        return loss, metrics
