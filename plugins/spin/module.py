"""SPIN as a pair method whose rejected completions are sampled from its reference."""

from __future__ import annotations

import torch
from torch import Tensor

from alignlab.data.batch import DemonstrationBatch, PairBatch, pad
from alignlab.models.parts import Parts
from alignlab.modules.pairs import PairModule
from alignlab.numerics.noise import Noise

from .config import SPINConfig


class SPINModule(PairModule):
    """Pair each demonstration with a sample of the opponent, then learn from pairs."""

    config: SPINConfig

    def __init__(self, config: SPINConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.reference = parts.reference  # the model that `moving` moves, where it does
        self.opponent = parts.new_engine(parts.reference.model)

    def training_step(self, batch: DemonstrationBatch, batch_idx: int) -> None:  # type: ignore[override]
        """One update on demonstrations and as many samples of the present opponent."""
        super().training_step(self.against_opponent(batch, batch_idx), batch_idx)

    def against_opponent(self, batch: DemonstrationBatch, batch_idx: int) -> PairBatch:
        """Demonstrations as chosen, samples on their prompts as rejected."""
        demonstrated = batch.sequences.split()
        places = self.trainer.global_rank + torch.arange(len(batch)) * self.trainer.world_size
        noise = Noise(self.parts.seeds.of("rollout", batch_idx), places)
        sampled = self.opponent.sample([prompt for prompt, _ in demonstrated], noise).sequences.split()
        return PairBatch(batch.index, pad([*demonstrated, *sampled], self.parts.pad_id).to(self.device))

    def reference_logps(self, batch: PairBatch) -> Tensor:
        """Token log-probabilities of the opponent, (2B, T)."""
        logps: Tensor = self.reference(batch.sequences).logps
        return logps
