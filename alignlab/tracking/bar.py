"""Lightning's progress bar, as one line of `tracking.progress`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar

from alignlab.data.loader import ENDLESS
from alignlab.tracking.metrics import MetricLog
from alignlab.tracking.progress import Stage

KEY_METRICS = ("train/loss", "train/score", "train/kl", "train/accuracy")
"""Metrics shown beside the bar, those of them that the method logs."""


class StageBar(ProgressBar):
    """Show one stage of training: give it to the Trainer's callbacks, and no other bar appears."""

    def __init__(self, label: str, metrics: Sequence[str] = KEY_METRICS) -> None:
        super().__init__()
        self.label, self.names = label, tuple(metrics)
        self._enabled = True
        self._stage: Stage | None = None

    def enable(self) -> None:
        """Draw from now on."""
        self._enabled = True

    def disable(self) -> None:
        """Draw nothing: Lightning calls this on every process but the first."""
        self._enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the line where training begins, which is not 0 when it was resumed."""
        if self._enabled:
            self._stage = Stage(self.label, _batches(trainer), patience=0.0)
            self._stage.resume(_done(trainer))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the line; metrics are gathered only when it is about to be drawn."""
        if self._stage is None:
            return
        done = _done(trainer)
        if not self._stage.due() and done != self._stage.total:
            self._stage.update(done)
            return
        log = trainer.logger
        logged: dict[str, Any] = {**trainer.callback_metrics, **(log.latest if isinstance(log, MetricLog) else {})}
        shown = {name: float(logged[name]) for name in self.names if name in logged}
        samples = log.samples if isinstance(log, MetricLog) and log.samples else None
        self._stage.update(done, samples=samples, metrics=shown)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave one line that says how it went."""
        self._close(stopped=False)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave one line that says where it stopped."""
        self._close(stopped=True)

    def _close(self, *, stopped: bool) -> None:
        if self._stage is not None:
            self._stage.close(stopped=stopped)
            self._stage = None


def _batches(trainer: pl.Trainer) -> float | None:
    """Training batches of the whole run, or None when it has no known end."""
    if trainer.num_training_batches == ENDLESS:
        return None
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        return float(trainer.num_training_batches) * trainer.max_epochs
    return float(trainer.max_steps) if trainer.max_steps >= 0 else None


def _done(trainer: pl.Trainer) -> int:
    """Training batches done, those before a resume included."""
    return int(trainer.fit_loop.total_batch_idx) + 1
