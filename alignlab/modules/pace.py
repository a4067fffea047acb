"""How much of a training's budget is spent: it sets the learning rate and ends the training.

All processes read the same figure, and a resumed training reads it from its checkpoint.
"""

from __future__ import annotations

from math import ceil

import torch

from alignlab.modules.optimise import all_sum
from alignlab.work import Work, current


class Pace:
    """Spending on one axis, one of the sums of `Work`, up to `limit`."""

    def __init__(self, axis: str, limit: int) -> None:
        self.axis, self.limit = axis, limit
        self.before = 0
        """Spent when the batch began, over all processes."""
        self.now = 0
        """Spent when the present update was counted."""

    @property
    def over(self) -> bool:
        """Whether the limit is reached."""
        return self.now >= self.limit

    @property
    def stops_updates(self) -> bool:
        """Whether no further update may be taken, not even one on what is sampled already."""
        return self.axis == "steps" and self.over

    def reached(self, spent: Work) -> None:
        """Take in what all processes have spent, between batches."""
        self.before = self.now = int(getattr(spent, self.axis))

    def update(self, device: torch.device) -> tuple[int, int, int]:
        """Where the update that is being taken stands: spent before it, with it, and the limit.

        Called after the backward passes of the update and before it is counted as a step, by every process alike.
        """
        if self.axis == "steps":
            start, self.now = self.now, self.now + 1
            return start, self.now, self.limit
        work = current()
        own = 0 if work is None else int(getattr(work, self.axis))
        self.now = self.before + int(all_sum(torch.tensor(own, device=device)))
        return self.before, self.now, self.limit

    def batches(self, done: int) -> int:
        """About how many batches the whole training takes, after `done` of them; more than `done`."""
        return max(done + 1, ceil(done * self.limit / self.now) if self.now else 1)
