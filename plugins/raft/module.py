"""RAFT as a rollout method."""

from __future__ import annotations

import torch
from torch import Tensor

from alignlab.modules.experience import Chunk, Experience
from alignlab.modules.optimise import all_rows, all_sum
from alignlab.modules.rollouts import RolloutModule
from alignlab.work import uncounted

from .config import RAFTConfig
from .loss import best_of_each, imitation


class RAFTModule(RolloutModule):
    """Mark what is to be imitated, then imitate it."""

    config: RAFTConfig

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """Updates on the kept rows, divided by their tokens in the whole rollout: the sum of a pass is their mean."""
        rewards, lengths = experience.rewards, experience.sequences.lengths
        kept = self._kept(experience).to(experience.logps.dtype)
        sums = [torch.ones_like(kept).sum(), kept.sum(), (kept * lengths).sum(), rewards.sum(), (kept * rewards).sum()]
        rows, chosen, self.tokens, total, best = all_sum(torch.stack([each.double() for each in sums])).tolist()
        if not chosen:
            return {"train/kept": 0.0}
        columns = dict(logps=experience.logps, kept=kept)
        metrics = self.passes(experience.sequences, columns, batch_idx, self._loss)
        return metrics | {"train/kept": chosen / rows, "train/kept_gain": best / chosen - total / rows}

    def _kept(self, experience: Experience) -> Tensor:
        """Which rows are imitated, (B,) bool."""
        config, rewards = self.config, experience.rewards
        if config.keep == "best":
            return best_of_each(experience.grouped).flatten()
        cut = config.threshold
        if config.keep == "quantile":
            cut = float(all_rows(rewards)[0].quantile(config.quantile))  # of all processes: each keeps its share
        return rewards >= cut

    def _loss(self, chunk: Chunk) -> tuple[Tensor, dict[str, Tensor]]:
        """A share of the mean over kept tokens; rows that are not kept are not even read."""
        found = chunk.columns["kept"].nonzero().squeeze(-1)
        rows = found if len(found) else found.new_zeros(1)  # its weight is 0; backward needs a graph
        sequences, kept = chunk.sequences.select(rows).trim(), chunk.columns["kept"][rows]
        with uncounted(not len(found)):
            logps, mask = self.policy(sequences).logps, sequences.completion
        if chunk.first:
            self.gate_ratio(logps, chunk.columns["logps"][rows, : logps.shape[1]], mask)
        return imitation(logps, mask, kept, self.tokens / self.config.minibatches), {}
