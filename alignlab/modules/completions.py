"""What every method that imitates completions shares, except its objective."""

from __future__ import annotations

import lightning as L
import torch
from torch import Tensor

from alignlab.data.batch import DemonstrationBatch
from alignlab.method import OfflineConfig
from alignlab.models.parts import Parts
from alignlab.modules.optimise import adamw, all_sum, due, record, update


class CompletionModule(L.LightningModule):
    """Score the tokens of each demonstration, then defer to `objective`."""

    config: OfflineConfig

    def __init__(self, config: OfflineConfig, parts: Parts) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config, self.parts = config, parts
        self.policy = parts.policy

    def objective(self, logps: Tensor, mask: Tensor) -> Tensor:
        """Per-token loss: (B, T), (B, T) -> (B, T). The only method a plugin must write."""
        raise NotImplementedError(f"{type(self).__name__} must define objective(logps, mask)")

    def training_step(self, batch: DemonstrationBatch, batch_idx: int) -> None:
        """One update: the sum of token losses over the number of completion tokens in the whole batch."""
        parts, tokens = self.parts, all_sum(batch.sequences.completion.sum())
        spread, told = torch.zeros((), device=self.device), due(parts, batch_idx)

        def loss_of(chunk: DemonstrationBatch) -> Tensor:
            out = self.policy(chunk.sequences, entropy=told)
            if told:
                spread.add_(out.entropy.sum())
            mask = chunk.sequences.completion
            return (self.objective(out.logps, mask) * mask).sum() / tokens

        chunks = batch.by_length(parts.micro_batch_size, parts.spare)
        loss, norm = update(self, chunks, loss_of, self.config, step=batch_idx, total=parts.total, pace=parts.pace)
        if told:
            metrics = {
                "train/loss": loss,
                "train/entropy": float(all_sum(spread) / tokens),
                "train/grad_norm": norm,
            }
            record(self, batch_idx, (batch_idx + 1) * self.config.batch_size, metrics)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the policy."""
        return adamw(self.config, (self.policy, 1.0))
