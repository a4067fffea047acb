"""TDPO as a pair method that reads whole next-token distributions."""

from __future__ import annotations

import torch
from torch import Tensor

from alignlab.data.batch import PairBatch, Sequences
from alignlab.models.parts import Parts
from alignlab.models.policy import TokenOutputs
from alignlab.modules.pairs import PairModule, Scored
from alignlab.numerics.logps import upcast

from .config import TDPOConfig
from .loss import forward_kl


class TDPOModule(PairModule):
    """Policy and reference once each over all completions of a chunk."""

    config: TDPOConfig

    def __init__(self, config: TDPOConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.reference = parts.reference  # the model that `moving` moves, where it does

    def score(self, batch: PairBatch) -> Scored:
        """Log-probabilities of policy and reference, and KL(reference || policy) along both completions.

        Summed as log-probabilities are: where those are means, or the tail of a completion weighs less, so does KL.
        """
        sequences = batch.sequences
        logps = upcast(self.policy.completion_logits(sequences)).log_softmax(-1)
        with torch.no_grad():
            reference = upcast(self.reference.model.completion_logits(sequences)).log_softmax(-1)
        targets = sequences.ids[sequences.completion]
        kl = self.objective.logps(sequences.spread(forward_kl(logps, reference)), sequences)
        context = {"chosen_kl": kl.chosen, "rejected_kl": kl.rejected}
        return Scored(self._outputs(logps, targets, sequences), sequences.spread(_at(reference, targets)), context)

    def _outputs(self, logps: Tensor, targets: Tensor, sequences: Sequences) -> TokenOutputs:
        with torch.no_grad():
            collision = sequences.spread((2 * logps).logsumexp(-1)) if self.config.on_policy_weight else None
        return TokenOutputs(sequences.spread(_at(logps, targets)), collision=collision)


def _at(logps: Tensor, targets: Tensor) -> Tensor:
    """(N, V), (N,) -> (N,)."""
    return logps.gather(-1, targets[:, None]).squeeze(-1)
