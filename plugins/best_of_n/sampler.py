"""Sampling n candidates for each prompt and keeping the best.

Candidates are sampled one round after the other, so that memory does not grow with n. Round j draws the same numbers
whatever n is: the candidates of a smaller n are the first ones of a larger.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from alignlab.data.batch import Sequences
from alignlab.data.schema import Prompt
from alignlab.errors import TrainingError
from alignlab.models.parts import Parts
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.seeding import derive

from .config import BestOfNConfig


class BestOfNSampler:
    """The candidate with the highest reward, the first among equals."""

    def __init__(self, config: BestOfNConfig, parts: Parts) -> None:
        self.n, self.engine, self.reward = config.n, parts.engine, parts.scorer("reward")
        self.kl_bound: float | None = kl_bound(config.n)

    @torch.no_grad()
    def sample(self, prompts: Sequence[Prompt], ids: Sequence[Sequence[int]], noise: Noise) -> Rollouts:
        """One completion for each prompt. Candidate 0 is what the SFT policy itself would have said."""
        best: Rollouts = self.engine.sample(ids, noise)
        score = self._score(best, prompts)
        for candidate in range(1, self.n):
            other = self.engine.sample(ids, noise._replace(seed=derive(noise.seed, "candidate", candidate)))
            rival = self._score(other, prompts)
            better = rival > score
            best, score = choose(better, other, best), torch.where(better, rival, score)
        return best

    def completion_logits(self, sequences: Sequences) -> Tensor:
        """Unknown: which completion is kept depends on all of it."""
        raise NotImplementedError("the best of n has no next-token distribution: use kl_bound")

    def _score(self, rollouts: Rollouts, prompts: Sequence[Prompt]) -> Tensor:
        score: Tensor = self.reward.score(rollouts, prompts)
        if not bool(score.isfinite().all()):
            row = int((~score.isfinite()).nonzero()[0])
            raise TrainingError(f"the reward of a completion of prompt {row} is not finite", "train the reward again")
        return score


def kl_bound(n: int) -> float:
    """log n - (n - 1) / n >= KL(best of n || sampling policy), in nats a completion.

    Equal where no two completions have the same reward and none has a probability of note; an upper bound otherwise
    (arXiv 2401.01879).
    """
    return math.log(n) - (n - 1) / n


def choose(first: Tensor, one: Rollouts, other: Rollouts) -> Rollouts:
    """Rows of `one` where `first` (B,) says so, of `other` elsewhere, at the width of the longest of them."""
    width = max(one.sequences.ids.shape[1], other.sequences.ids.shape[1])

    def pick(mine: Tensor, theirs: Tensor) -> Tensor:
        left, right = (pad(each, (0, width - each.shape[1])) for each in (mine, theirs))
        return torch.where(first[:, None], left, right)

    sequences = Sequences(*map(pick, one.sequences, other.sequences)).trim()
    logps = pick(one.logps, other.logps)[:, : sequences.ids.shape[1]]
    return Rollouts(sequences, logps, torch.where(first, one.ended, other.ended))
