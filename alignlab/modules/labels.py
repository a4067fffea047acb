"""What every method that learns a policy from single judged completions shares, except its objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import lightning as L
import torch
from torch import Tensor

from alignlab.data.batch import LabelBatch, length_cuts
from alignlab.method import OfflineConfig
from alignlab.models.parts import Parts
from alignlab.modules.gates import gate_reference
from alignlab.modules.optimise import adamw, all_sum, due, record, update
from alignlab.numerics.logps import CompletionLogps, sequence_logps


class LabelTerms(NamedTuple):
    """What an objective yields for each judged completion, shapes (B,)."""

    loss: Tensor
    implicit_reward: Tensor


class LabelModule(L.LightningModule):
    """Score each completion, then defer to `objective`."""

    config: OfflineConfig

    def __init__(self, config: OfflineConfig, parts: Parts) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config, self.parts = config, parts
        self.policy = parts.policy

    def objective(
        self,
        policy: CompletionLogps,
        reference: CompletionLogps | None,
        batch: LabelBatch,
        context: Mapping[str, Tensor],
    ) -> LabelTerms:
        """Loss and implicit reward of each completion, (B,). The only method a plugin must write.

        `reference` is None for methods that declare none; `context` is what the method below gave.
        """
        raise NotImplementedError(f"{type(self).__name__} must define objective(policy, reference, batch, context)")

    def context(self, batch: LabelBatch) -> Mapping[str, Tensor]:
        """What the loss of a row must know of the whole batch over all processes, without gradient.

        Called before the batch is cut into micro-batches, so that cutting it changes nothing. Scalars.
        """
        return {}

    def denominator(self, batch: LabelBatch) -> Tensor:
        """What the sum of losses is divided by: the rows of the whole batch over all processes."""
        return all_sum(torch.tensor(float(len(batch)), device=self.device))

    def training_step(self, batch: LabelBatch, batch_idx: int) -> None:
        """One update: the mean of losses over the whole batch."""
        parts, config = self.parts, self.config
        with torch.no_grad():
            context, rows = self.context(batch), self.denominator(batch)
        sums: dict[str, Tensor] = {}

        def loss_of(part: Tensor) -> Tensor:
            chunk = batch.select(part)
            logps, mask = self.policy(chunk.sequences).logps, chunk.sequences.completion
            if batch_idx == 0:
                gate_reference(config.name, logps, chunk.reference, mask, self.policy)
            reference = None if chunk.reference is None else summed(chunk.reference, mask)
            terms = self.objective(summed(logps, mask), reference, chunk, context)
            _accumulate(sums, logps, chunk, terms)
            return terms.loss.sum() / rows

        chunks = length_cuts(batch.lengths, parts.micro_batch_size, spare=parts.spare)
        loss, norm = update(self, chunks, loss_of, config, step=batch_idx, total=parts.total, pace=parts.pace)
        if due(parts, batch_idx):
            metrics = _means({name: float(all_sum(total)) for name, total in sums.items()})
            known = {f"train/{name}": float(value) for name, value in context.items()}
            metrics |= known | {"train/loss": loss, "train/grad_norm": norm}
            record(self, batch_idx, (batch_idx + 1) * config.batch_size, metrics)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the policy."""
        return adamw(self.config, (self.policy, 1.0))


def summed(token_logps: Tensor, mask: Tensor) -> CompletionLogps:
    """Log-probabilities of whole completions: (B, T), (B, T) -> CompletionLogps of (B,)."""
    total = sequence_logps(token_logps, mask)
    return CompletionLogps(total, mask.sum(-1).to(total.dtype))


@torch.no_grad()
def _accumulate(sums: dict[str, Tensor], token_logps: Tensor, batch: LabelBatch, terms: LabelTerms) -> None:
    logps = sequence_logps(token_logps, batch.sequences.completion)
    for name, chosen in (("desirable", batch.desirable), ("undesirable", ~batch.desirable)):
        for what, value in (("rows", torch.ones_like(logps)), ("reward", terms.implicit_reward), ("logps", logps)):
            key = f"{name}_{what}"
            sums[key] = (
                sums.get(key, torch.zeros((), device=value.device, dtype=torch.float64)) + (value * chosen).sum()
            )


def _means(sums: Mapping[str, float]) -> dict[str, float]:
    """Mean implicit reward and log-probability of either kind, and the margin between the kinds where both occur."""
    means = {
        f"train/{kind}_{what}": sums[f"{kind}_{what}"] / sums[f"{kind}_rows"]
        for kind in ("desirable", "undesirable")
        for what in ("reward", "logps")
        if sums.get(f"{kind}_rows")
    }
    good, bad = (means.get(f"train/{kind}_reward") for kind in ("desirable", "undesirable"))
    return means if good is None or bad is None else means | {"train/margin": good - bad}
