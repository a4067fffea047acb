"""What every method that learns a scorer from two completions of a prompt shares, except its objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor

from alignlab.data.batch import PairBatch, SafetyBatch
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

    def objective(self, first: Tensor, second: Tensor, batch: Any) -> Tensor:
        """Loss of each pair from its two scores: (B,), (B,) -> (B,). The only method a plugin must write."""
        raise NotImplementedError(f"{type(self).__name__} must define objective(first, second, batch)")

    def figures(self, first: Tensor, second: Tensor, batch: Any) -> dict[str, tuple[Tensor, Tensor | int]]:
        """What is logged as means: by name, the sum over some pairs and the number of terms in it."""
        difference = first - second
        return {"accuracy": ((difference > 0).sum(), len(batch)), "margin": (difference.sum(), len(batch))}

    def training_step(self, batch: PairBatch | SafetyBatch, batch_idx: int) -> None:
        """One update: the mean of pair losses over the whole batch."""
        parts, config = self.parts, self.config
        pairs = all_sum(torch.tensor(float(len(batch)), device=self.device))
        sums: dict[str, Tensor] = {}

        def loss_of(chunk: PairBatch | SafetyBatch) -> Tensor:
            first, second = self.scorer(chunk.sequences).chunk(2)
            for name, terms in self.figures(first.detach(), second.detach(), chunk).items():
                counted = torch.stack([torch.as_tensor(term, device=first.device).float() for term in terms])
                sums[name] = sums[name] + counted if name in sums else counted
            return self.objective(first, second, chunk).sum() / pairs

        chunks: Sequence[PairBatch | SafetyBatch] = batch.by_length(parts.micro_batch_size, parts.spare)
        loss, norm = update(self, chunks, loss_of, config, step=batch_idx, total=parts.total, pace=parts.pace)
        if due(parts, batch_idx):
            totals = {f"train/{name}": all_sum(counted) for name, counted in sums.items()}
            means = {name: float(total / count) for name, (total, count) in totals.items() if count}
            metrics = {"train/loss": loss, **means, "train/grad_norm": norm}
            record(self, batch_idx, (batch_idx + 1) * config.batch_size, metrics)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the scorer."""
        return adamw(self.config, (self.scorer, 1.0))
