"""BCO as a label method."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from alignlab.data.batch import LabelBatch, over_rows
from alignlab.models.parts import Parts
from alignlab.modules.labels import LabelModule, LabelTerms
from alignlab.modules.optimise import all_sum
from alignlab.numerics.logps import CompletionLogps, sequence_logps

from .config import BCOConfig
from .density import density_ratios, prompt_states, rows_once
from .loss import bco_loss, reward_shift


class BCOModule(LabelModule):
    """A threshold that follows rewards, then each row by itself."""

    config: BCOConfig
    reward_sums: Tensor
    """Of desirable rows and of undesirable ones, (2,)."""
    reward_counts: Tensor
    ratios: Tensor
    """Density ratio of the prompt of each training row, (R,)."""

    def __init__(self, config: BCOConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.register_buffer("reward_sums", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("reward_counts", torch.zeros(2, dtype=torch.float64))
        if config.density_ratio:
            rows = sum(len(batch) for batch in rows_once(parts.auxiliary))
            self.register_buffer("ratios", torch.ones(rows, dtype=torch.float64))

    def on_train_start(self) -> None:
        """Fit density ratios while the policy is still the one it starts from; a resumed run has them."""
        if self.config.density_ratio and self.trainer.global_step == 0:
            # Every process sees all rows, and so arrives at the same ratios.
            rows = rows_once(self.parts.auxiliary)
            size, spare = self.parts.micro_batch_size, self.parts.spare
            chunks = [chunk for batch in rows for chunk in batch.by_length(size, spare)]
            states = [prompt_states(self.policy, chunk.sequences.to(self.device)) for chunk in chunks]
            desirable, index = (torch.cat([getattr(c, name) for c in chunks]) for name in ("desirable", "index"))
            self.ratios[index] = density_ratios(torch.cat(states), desirable).to(self.ratios)

    def context(self, batch: LabelBatch) -> Mapping[str, Tensor]:
        """The threshold, with the rewards of this whole batch taken in."""
        assert batch.reference is not None
        logps = over_rows(batch.sequences, lambda part: self.policy(part).logps, self.parts.micro_batch_size)
        rewards = self.config.beta * sequence_logps(logps - batch.reference, batch.sequences.completion).double()
        verdicts = torch.stack([batch.desirable, ~batch.desirable]).double()
        self.reward_sums.mul_(self.config.shift_memory).add_(all_sum(verdicts @ rewards))
        self.reward_counts.mul_(self.config.shift_memory).add_(all_sum(verdicts.sum(-1)))
        return {"reward_shift": reward_shift(self.reward_sums, self.reward_counts)}

    def objective(
        self,
        policy: CompletionLogps,
        reference: CompletionLogps | None,
        batch: LabelBatch,
        context: Mapping[str, Tensor],
    ) -> LabelTerms:
        """Loss and implicit reward of each completion, (B,)."""
        assert reference is not None
        rewards = self.config.beta * (policy.logps - reference.logps)
        weights = self.ratios[batch.index].to(rewards) if self.config.density_ratio else 1.0
        loss = bco_loss(rewards, batch.desirable, context["reward_shift"].to(rewards), weights)
        return LabelTerms(loss, rewards.detach())
