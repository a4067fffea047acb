"""Counting a training's work over all its processes, exactly across stops, and ending it when its budget is spent."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from alignlab.errors import TrainingError
from alignlab.modules.optimise import all_sum
from alignlab.modules.pace import Pace
from alignlab.stages.files import atomic_write_json
from alignlab.work import Work, peak_memory

FILE = "work.json"
PATIENCE = 100
"""Batches in a row without any update after which training towards a number of updates gives up."""


@dataclass(frozen=True)
class Spent:
    """What a finished training took."""

    work: Work
    """Of all processes."""
    seconds: float
    """Of attempts before the last one, up to the checkpoint that it went on from."""
    batches: int


class Meter(Callback):
    """Adds what every process counted once a batch, and says when the budget is spent.

    `own` is where this process counts. Its sums go into checkpoints, so that a batch which is computed again after a
    stop is counted once.
    """

    def __init__(self, folder: Path, own: Work, pace: Pace | None) -> None:
        self.path, self.own, self.pace = folder / FILE, own, pace
        self.spent, self.before, self.idle = Work(), 0, 0
        self.earlier, self._began = 0.0, time.perf_counter()
        self._started = False

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"work": self.spent.record(), "seconds": self.seconds, "idle": self.idle}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.spent, self.earlier, self.idle = Work.recorded(state["work"]), state["seconds"], state["idle"]
        if self.pace is not None:
            self.pace.reached(self.spent)

    @property
    def seconds(self) -> float:
        """Wall time of this attempt and of those it goes on from."""
        return self.earlier + time.perf_counter() - self._began

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A training that was stopped after its last batch has nothing left to do."""
        trainer.should_stop = trainer.should_stop or (self.pace is not None and self.pace.over)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """What comes before the first batch is done by every process alike, and counts once."""
        if not self._started and trainer.global_rank:
            self.own.clear()
        self._started = True
        if self.pace is not None:
            pl_module.parts.total = self.pace.batches(batch_idx)  # type: ignore[union-attr]

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the batch, and stop where the budget is spent."""
        self.own.samples += len(batch) * getattr(pl_module.config, "group_size", 1)
        steps = self.own.steps
        if trainer.global_rank:
            self.own.steps = 0  # every process takes part in every update
        counts: list[int] = all_sum(torch.tensor(self.own.counts, device=pl_module.device)).tolist()
        self.spent.add_counts(counts)
        self.spent.parameters |= self.own.parameters
        self.own.clear()
        self.idle = 0 if steps else self.idle + 1
        if self.pace is None:
            return
        self.before = self.pace.before
        self.pace.reached(self.spent)
        if self.pace.over:
            trainer.should_stop = True
        elif self.idle >= PATIENCE:
            raise TrainingError(
                f"{self.pace.axis}={self.pace.limit} is out of reach: {self.spent.steps} updates so far, and none in "
                f"the last {PATIENCE} batches",
                "the method finds nothing to learn from: loosen what it keeps, or limit another axis",
            )

    def progress(self, trainer: L.Trainer, batch_idx: int) -> tuple[int, int, int]:
        """How far training was before a batch that has just ended, how far it is, and how far it goes."""
        if self.pace is None:
            return batch_idx, batch_idx + 1, int(trainer.num_training_batches)
        limit = self.pace.limit
        return min(self.before, limit), min(self.pace.now, limit), limit

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the sums for the process that asked for the training, which may be another one."""
        peak = torch.tensor(peak_memory(), device=pl_module.device)
        if trainer.world_size > 1:
            torch.distributed.all_reduce(peak, torch.distributed.ReduceOp.MAX)
        self.spent.peak_memory_bytes = int(peak)
        if trainer.is_global_zero:
            done = int(trainer.fit_loop.total_batch_idx) + 1
            atomic_write_json(self.path, {"work": self.spent.record(), "earlier": self.earlier, "batches": done})


def read_spent(folder: Path) -> Spent:
    """What the training in a work folder took."""
    found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return Spent(Work.recorded(found["work"]), float(found["earlier"]), int(found["batches"]))
