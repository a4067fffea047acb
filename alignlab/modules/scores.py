"""What every method that learns a scorer from pairs shares, except its objective."""

from __future__ import annotations

import lightning as L
import torch
from torch import Tensor

from alignlab.data.batch import PairBatch
from alignlab.method import OfflineConfig
from alignlab.models.parts import Parts
from alignlab.modules.optimise import adamw, all_sum, due, record, update


class ScorerModule(L.LightningModule):
    """Score both completions of each pair with a value head, then defer to `objective`."""

    config: OfflineConfig

    def __init__(self, config: OfflineConfig, parts: Parts) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config, self.parts = config, parts
        self.scorer = parts.model

    def objective(self, chosen: Tensor, rejected: Tensor, batch: PairBatch) -> Tensor:
        """Loss of each pair from its two scores: (B,), (B,) -> (B,). The only method a plugin must write."""
        raise NotImplementedError(f"{type(self).__name__} must define objective(chosen, rejected, batch)")

    def training_step(self, batch: PairBatch, batch_idx: int) -> None:
        """One update: the mean of pair losses over the whole batch."""
        parts, config = self.parts, self.config
        pairs = all_sum(torch.tensor(float(len(batch)), device=self.device))
        hits = torch.zeros(2, device=self.device)

        def loss_of(chunk: PairBatch) -> Tensor:
            chosen, rejected = self.scorer(chunk.sequences).chunk(2)
            difference = (chosen - rejected).detach()
            hits.add_(torch.stack([(difference > 0).float().sum(), difference.sum()]))
            return self.objective(chosen, rejected, chunk).sum() / pairs

        chunks = batch.by_length(parts.micro_batch_size)
        loss, norm = update(self, chunks, loss_of, config, step=batch_idx, total=parts.total)
        if due(batch_idx, parts.log_every, parts.total):
            accuracy, margin = (all_sum(hits) / pairs).tolist()
            metrics = {
                "train/loss": loss,
                "train/accuracy": accuracy,
                "train/margin": margin,
                "train/grad_norm": norm,
            }
            record(self, batch_idx, (batch_idx + 1) * config.batch_size, metrics)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the scorer."""
        return adamw(self.config, (self.scorer, 1.0))
