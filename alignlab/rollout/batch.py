"""What sampling yields: completions with the log-probabilities they were drawn with."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from alignlab.data.batch import Sequences
from alignlab.rollout.sampling import Sampling, check_training_sampling
from alignlab.work import sampled

__all__ = ["Rollouts", "Sampling", "check_training_sampling"]


class Rollouts(NamedTuple):
    """Sampled completions, one a row, ready for training. Use `rows`, not `len()`, for the number of rows."""

    sequences: Sequences
    """Right padded."""
    logps: Tensor
    """Log-probability of each completion token in the distribution it was drawn from, (B, T), 0 elsewhere.

    At least float32. Greedy tokens carry their log-probability at temperature 1.
    """
    ended: Tensor
    """The completion's last token is an end token, (B,) bool; False means cut at the length limit."""

    @property
    def rows(self) -> int:
        """B."""
        return self.sequences.rows

    def completions(self) -> list[list[int]]:
        """Completion ids of each row, the end token included where there is one."""
        return [reply for _, reply in self.sequences.split()]

    def counted(self, *models: nn.Module) -> Self:
        """The same rows, once the work of sampling them from models is counted."""
        sampled(self.sequences.attention, self.sequences.completion, *models)
        return self

    def to(self, device: torch.device | str) -> Self:
        """The same rows on another device."""
        return type(self)(self.sequences.to(device), self.logps.to(device), self.ended.to(device))

    def select(self, index: Tensor | slice) -> Self:
        """Some rows, at unchanged width."""
        return type(self)(self.sequences.select(index), self.logps[index], self.ended[index])
