"""What every method that learns a policy from stored pairs shares, except its objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import lightning as L
import torch
from torch import Tensor

from alignlab.data.batch import PairBatch, length_cuts, over_rows
from alignlab.method import PairConfig
from alignlab.models.frozen import Moving
from alignlab.models.parts import Parts
from alignlab.models.policy import TokenOutputs
from alignlab.modules.gates import gate_reference
from alignlab.modules.objective import PairObjective
from alignlab.modules.optimise import adamw, all_rows, all_sum, due, record, update
from alignlab.numerics.logps import PairLogps, sequence_logps
from alignlab.numerics.preference import PairTerms

TIE = 1e-6
"""Implicit margins no larger than this are rounding and no preference."""


class Scored(NamedTuple):
    """What an objective reads of a batch of rows [chosen; rejected]."""

    outputs: TokenOutputs
    reference: Tensor | None
    """Token log-probabilities of the reference, (2B, T); None for methods that declare none."""
    context: Mapping[str, Tensor]
    """Further arguments of the objective, (B,) each."""


class PairModule(L.LightningModule):
    """Score both completions of each pair and minimise the method's declared objective.

    A method whose objective reads more than summed log-probabilities overrides `score`.
    """

    config: PairConfig
    objective: PairObjective

    def __init__(self, config: PairConfig, parts: Parts) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config, self.parts = config, parts
        self.policy, self.objective = parts.policy, parts.objective
        self.moving = Moving(parts.reference.model) if config.reference_every else None

    def score(self, batch: PairBatch) -> Scored:
        """Log-probabilities of policy and reference."""
        outputs = self.policy(batch.sequences, collision=self.config.on_policy_weight)
        return Scored(outputs, self.reference_logps(batch), {})

    def reference_logps(self, batch: PairBatch) -> Tensor | None:
        """Token log-probabilities of the reference, (2B, T): cached, or of the one that moves."""
        return batch.reference if self.moving is None else self.moving(batch.sequences).logps

    def training_step(self, batch: PairBatch, batch_idx: int) -> None:
        """One update: the mean of pair losses over the whole batch."""
        parts, config = self.parts, self.config
        pairs = all_sum(torch.tensor(float(len(batch)), device=self.device))
        coupled, sums = self._coupled(batch), dict[str, Tensor]()

        def loss_of(rows: Tensor) -> Tensor:
            chunk = batch.select(rows)
            scored = self.score(chunk)
            if batch_idx == 0:
                mask = chunk.sequences.completion
                gate_reference(config.name, scored.outputs.logps, scored.reference, mask, self.policy)
            context = {name: value[rows] for name, value in coupled.items()} | dict(scored.context)
            terms = self.objective(scored.outputs, scored.reference, chunk.sequences, chunk.probability, context)
            _accumulate(sums, scored, chunk, terms)
            return terms.loss.sum() / pairs

        chunks = length_cuts(batch.lengths, parts.micro_batch_size, spare=parts.spare)
        loss, norm = update(self, chunks, loss_of, config, step=batch_idx, total=parts.total, pace=parts.pace)
        if self.moving is not None and (batch_idx + 1) % config.reference_every == 0:
            self.moving.follow(self.policy, config.reference_mix)
        if due(parts, batch_idx):
            metrics = {f"train/{name}": float(all_sum(total) / pairs) for name, total in sums.items()}
            metrics |= {"train/loss": loss, "train/grad_norm": norm}
            record(self, batch_idx, (batch_idx + 1) * config.batch_size, metrics)

    @torch.no_grad()
    def _coupled(self, batch: PairBatch) -> Mapping[str, Tensor]:
        """What the objective must know of the whole batch, over all processes, before it is cut: (B,) each."""
        if not self.objective.coupled:
            return {}
        rows = self.parts.micro_batch_size
        policy = over_rows(batch.sequences, lambda part: self.policy(part).logps, rows)
        reference = batch.reference
        if self.moving is not None:
            moving = self.moving
            reference = over_rows(batch.sequences, lambda part: moving(part).logps, rows)
        whole, own = self._whole(policy, batch)
        fixed = None if reference is None else self._whole(reference, batch)[0]
        return {name: value[own] for name, value in self.objective.couple(whole, fixed).items()}

    def _whole(self, logps: Tensor, batch: PairBatch) -> tuple[PairLogps, slice]:
        """Pairs of every process, from token log-probabilities (2B, T), and which of them are this one's."""
        columns = [all_rows(column) for column in self.objective.logps(logps, batch.sequences)]
        return PairLogps(*(values for values, _ in columns)), columns[0][1]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the policy."""
        return adamw(self.config, (self.policy, 1.0))


@torch.no_grad()
def _accumulate(sums: dict[str, Tensor], scored: Scored, batch: PairBatch, terms: PairTerms) -> None:
    chosen, rejected = sequence_logps(scored.outputs.logps, batch.sequences.completion).chunk(2)
    margin = terms.implicit_margin
    values = {
        "margin": margin,
        "accuracy": (margin > TIE).double() + 0.5 * (margin.abs() <= TIE).double(),
        "chosen_logps": chosen,
        "rejected_logps": rejected,
        **scored.context,
    }
    for name, value in values.items():
        sums[name] = sums.get(name, torch.zeros((), device=value.device, dtype=torch.float64)) + value.sum()
