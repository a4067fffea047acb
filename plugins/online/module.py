"""Online preference learning as a rollout method."""

from __future__ import annotations

from alignlab.modules.judged import learn_from_pairs
from alignlab.modules.rollouts import Experience, RolloutModule

from .config import OwnPairsConfig
from .loss import best_and_worst


class OnlineModule(RolloutModule):
    """The best and the worst completion of each prompt."""

    config: OwnPairsConfig

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """Pairs of the rollout, then `rollout_epochs` passes over them."""
        rows, logps = best_and_worst(experience.grouped), experience.logps
        # The policy at the start of an iteration is the one that sampled, so its log-probabilities are known.
        reference = logps if self.config.reference_refresh else experience.reference
        columns = dict(logps=logps[rows], reference=reference[rows])
        sequences, rewards = experience.sequences.select(rows), experience.rewards[rows]
        return learn_from_pairs(self, sequences, columns, rewards, batch_idx, labels=self.config.labels)
