"""What every method that learns from its own samples shares, except what it does with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor

from alignlab.data.batch import PromptBatch, Sequences, over_rows
from alignlab.errors import TrainingError
from alignlab.method import OnlineConfig
from alignlab.models.parts import Parts
from alignlab.modules.gates import disagreement
from alignlab.modules.optimise import all_sum, record
from alignlab.numerics.logps import sequence_logps
from alignlab.numerics.noise import Noise


class Experience(NamedTuple):
    """One rollout, scored. Rows are completions."""

    sequences: Sequences
    logps: Tensor
    """Log-probabilities under the policy that sampled, by the trainer's own forward pass, (B, T)."""
    reference_logps: Tensor
    """Under the reference, (B, T)."""
    scores: Tensor
    """Reward of each completion after the missing-end penalty, (B,)."""
    ended: Tensor
    """Whether the end token was produced, (B,) bool."""


class RolloutModule(L.LightningModule):
    """Sample, score and gate; then defer to `learn`."""

    config: OnlineConfig

    def __init__(self, config: OnlineConfig, parts: Parts) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config, self.parts = config, parts
        self.policy, self.reference, self.reward = parts.model, parts.reference, parts.scorer("reward")

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """All updates of one iteration; returns metrics. The only method a plugin must write."""
        raise NotImplementedError(f"{type(self).__name__} must define learn(experience, batch_idx)")

    def training_step(self, batch: PromptBatch, batch_idx: int) -> None:
        """One iteration: a rollout and every update on it."""
        experience, metrics = self.collect(batch, batch_idx)
        metrics |= self.learn(experience, batch_idx)
        record(self, batch_idx, (batch_idx + 1) * self.config.batch_size, metrics)

    @torch.no_grad()
    def collect(self, batch: PromptBatch, batch_idx: int) -> tuple[Experience, dict[str, float]]:
        """Sample one completion a prompt and score it."""
        # Places in the global batch, so that a row samples the same whichever process holds it.
        rows = self.trainer.global_rank + torch.arange(len(batch)) * self.trainer.world_size
        noise = Noise(self.parts.seeds.of("rollout", batch_idx), rows)
        rollouts = self.parts.engine.sample(batch.prompts, noise)
        sequences = rollouts.sequences
        logps, spread = self.in_chunks(sequences, lambda rows: torch.stack(self.policy(rows), -1)).unbind(-1)
        reference = self.in_chunks(sequences, lambda rows: self.reference(rows).logps)
        scores = self.reward.score(rollouts, batch.rows)
        penalised = scores - self.config.missing_end_penalty * (~rollouts.ended)
        experience = Experience(sequences, logps, reference, penalised, rollouts.ended)
        if batch_idx == 0:
            self._gate_start(experience)
        return experience, self._describe(experience, scores, spread.sum(), rollouts.logps, batch_idx)

    def in_chunks(self, sequences: Sequences, score: Callable[[Sequences], Tensor]) -> Tensor:
        """Per-token values of all rows, (B, T, ...), computed on micro-batches of rows of similar length."""
        return over_rows(sequences, score, self.parts.micro_batch_size)

    def _gate_start(self, experience: Experience) -> None:
        """KL must be 0 at the first step: the policy starts at its reference."""
        mask = experience.sequences.completion
        gap = disagreement(experience.logps, experience.reference_logps, mask, self.policy)
        if gap:
            raise TrainingError(
                f"{self.config.name}: KL to the reference is not 0 at step 0: log-probabilities differ by {gap}",
                "the reference must be an exact copy of the starting policy, both without dropout",
            )

    def gate_ratio(self, logps: Tensor, old_logps: Tensor, mask: Tensor, step: int) -> None:
        """Policy and rollout policy must agree before the first update, or every ratio is wrong."""
        gap = disagreement(logps, old_logps, mask, self.policy)
        if gap:
            raise TrainingError(
                f"{self.config.name}: the probability ratio is not 1 before update {step}: log-probabilities differ "
                f"by {gap}",
                "rollout and training must use the same temperature, masks and positions",
            )

    def _describe(
        self, experience: Experience, scores: Tensor, entropy: Any, engine_logps: Tensor, step: int
    ) -> dict[str, float]:
        mask = experience.sequences.completion
        kl = sequence_logps(experience.logps - experience.reference_logps, mask)
        drift = (engine_logps - experience.logps)[mask].abs().max()
        sums = torch.stack(
            [
                torch.ones_like(kl).sum(),
                kl.sum(),
                (kl**2).sum(),
                scores.sum(),
                experience.ended.sum(),
                mask.sum(),
                entropy,
            ]
        )
        rows, kl_sum, kl_square, score, ended, tokens, spread = all_sum(sums.double()).tolist()
        mean_kl = kl_sum / rows
        error = (max(kl_square / rows - mean_kl**2, 0) / rows) ** 0.5
        if mean_kl < -(5 * error + 0.01):
            raise TrainingError(
                f"{self.config.name}: estimated KL is {mean_kl:.3f} ± {error:.3f} nats at step {step}; KL cannot be "
                f"negative",
                "samples do not come from the distribution that is scored: check sampling settings and end tokens",
            )
        return {
            "train/kl": mean_kl,
            "train/score": score / rows,
            "train/ended": ended / rows,
            "train/length": tokens / rows,
            "train/entropy": spread / tokens,
            "train/engine_gap": float(drift),
        }
