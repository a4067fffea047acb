"""REINFORCE with a baseline as a rollout method."""

from __future__ import annotations

import torch
from torch import Tensor

from alignlab.models.parts import Parts
from alignlab.modules.optimise import all_sum
from alignlab.modules.rollouts import Chunk, Experience, RolloutModule
from alignlab.numerics.logps import sequence_logps
from alignlab.numerics.surrogate import Whole, sequence_sum

from .config import ReinforceConfig
from .loss import BASELINES, Average, policy_gradient_loss, returns


class ReinforceModule(RolloutModule):
    """The policy, and what its returns were on average."""

    config: ReinforceConfig
    return_total: Tensor
    return_count: Tensor

    def __init__(self, config: ReinforceConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.register_buffer("return_total", torch.zeros((), dtype=torch.float64))
        self.register_buffer("return_count", torch.zeros((), dtype=torch.float64))

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """Returns less the baseline, then the updates."""
        config, mask, logps = self.config, experience.sequences.completion, experience.logps
        reference = experience.reference
        to_go = returns(experience.rewards, logps, reference, mask, beta=config.beta)
        whole = experience.rewards.double() - config.beta * sequence_logps(logps - reference, mask).double()
        before = Average(self.return_total, self.return_count)
        now = Average(*(all_sum(part.sum()) for part in (whole, torch.ones_like(whole))))
        baseline = float(BASELINES[config.baseline](before, now))
        columns = dict(logps=logps, advantages=(to_go - baseline) * mask)
        metrics = self.passes(experience.sequences, columns, batch_idx, self._loss)
        after = before.plus(now, decay=config.baseline_decay)
        self.return_total.copy_(after.total)
        self.return_count.copy_(after.count)
        return metrics | {"train/baseline": baseline}

    def _loss(self, chunk: Chunk) -> tuple[Tensor, dict[str, Tensor]]:
        """Share of some rows in the loss of their minibatch."""
        known, mask = chunk.columns, chunk.sequences.completion
        logps = self.policy(chunk.sequences).logps
        if chunk.first:
            self.gate_ratio(logps, known["logps"], mask)
        per_token = policy_gradient_loss(logps, known["advantages"])
        return sequence_sum(per_token, mask, Whole(chunk.tokens, chunk.rows)), {}
