"""What every method that learns a policy from pairs shares, except its objective."""

from __future__ import annotations

from typing import NamedTuple

import lightning as L
import torch
from torch import Tensor

from alignlab.data.batch import PairBatch
from alignlab.errors import TrainingError
from alignlab.method import OfflineConfig
from alignlab.models.parts import Parts
from alignlab.modules.gates import disagreement
from alignlab.modules.optimise import adamw, all_sum, due, record, update
from alignlab.numerics.logps import PairLogps, sequence_logps


class PairTerms(NamedTuple):
    """What an objective yields for each pair, shapes (B,)."""

    loss: Tensor
    implicit_margin: Tensor
    """Implicit reward of chosen minus that of rejected; its sign is the accuracy."""


class PairModule(L.LightningModule):
    """Score both completions of each pair, then defer to `objective`."""

    config: OfflineConfig

    def __init__(self, config: OfflineConfig, parts: Parts) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config, self.parts = config, parts
        self.policy = parts.model

    def objective(self, policy: PairLogps, reference: PairLogps | None, batch: PairBatch) -> PairTerms:
        """Loss and implicit margin of each pair, (B,). The only method a plugin must write.

        `reference` is None for methods that declare none; `batch` holds soft labels and margins, where known.
        """
        raise NotImplementedError(f"{type(self).__name__} must define objective(policy, reference, batch)")

    def training_step(self, batch: PairBatch, batch_idx: int) -> None:
        """One update: the mean of pair losses over the whole batch."""
        parts, config = self.parts, self.config
        pairs = all_sum(torch.tensor(float(len(batch)), device=self.device))
        sums: dict[str, Tensor] = {}

        def loss_of(chunk: PairBatch) -> Tensor:
            out = self.policy(chunk.sequences)
            if batch_idx == 0:
                self._gate(out.logps, chunk)
            policy = _paired(out.logps, chunk)
            reference = None if chunk.reference is None else _paired(chunk.reference, chunk)
            terms = self.objective(policy, reference, chunk)
            _accumulate(sums, policy, terms)
            return terms.loss.sum() / pairs

        chunks = batch.by_length(parts.micro_batch_size)
        loss, norm = update(self, chunks, loss_of, config, step=batch_idx, total=parts.total)
        if due(batch_idx, parts.log_every, parts.total):
            metrics = {f"train/{name}": float(all_sum(total) / pairs) for name, total in sums.items()}
            metrics |= {"train/loss": loss, "train/grad_norm": norm}
            record(self, batch_idx, (batch_idx + 1) * config.batch_size, metrics)

    def _gate(self, token_logps: Tensor, batch: PairBatch) -> None:
        """Stop when the policy does not start at its reference: every implicit reward would be wrong."""
        if batch.reference is None:
            return
        gap = disagreement(token_logps, batch.reference, batch.sequences.completion, self.policy)
        if gap:
            raise TrainingError(
                f"{self.config.name}: at step 0 the policy's log-probabilities differ from the cached reference's by "
                f"{gap}, so that KL is not 0 and the loss not at its known start",
                "the reference must be the policy the method starts from: rebuild it with `cache prune reference`",
            )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the policy."""
        return adamw(self.config, (self.policy, 1.0))


def _paired(token_logps: Tensor, batch: PairBatch) -> PairLogps:
    """Sum token log-probabilities of rows [chosen; rejected]: (2B, T) -> PairLogps of (B,)."""
    mask = batch.sequences.completion
    summed = sequence_logps(token_logps, mask)
    lengths = mask.sum(-1).to(summed.dtype)
    chosen, rejected = summed.chunk(2)
    return PairLogps(chosen, rejected, *lengths.chunk(2))


@torch.no_grad()
def _accumulate(sums: dict[str, Tensor], policy: PairLogps, terms: PairTerms) -> None:
    values = {
        "margin": terms.implicit_margin,
        "accuracy": (terms.implicit_margin > 0).double() + 0.5 * (terms.implicit_margin == 0).double(),
        "chosen_logps": policy.chosen,
        "rejected_logps": policy.rejected,
    }
    for name, value in values.items():
        sums[name] = sums.get(name, torch.zeros((), device=value.device, dtype=torch.float64)) + value.sum()
