"""`metrics.csv`: what training logs, one row a log call, the same bytes whether or not the run was interrupted.

The columns are `step` (the update, or the iteration of a method that samples), `samples` (training rows counted
once each), then metrics in the order they first appeared. No clock time is in it; `timing.csv` beside it holds
the seconds. Methods log through `modules.optimise.record`, from inside the training step, so that the row of a
step is written before the checkpoint of that step and with a step number that a resume does not shift.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from alignlab.tracking.table import CsvTable
from alignlab.tracking.tracker import Silent, Tracker

STATE = "metrics_csv"
"""Where a checkpoint keeps what is needed to wind the file back."""

STAMP = ("step", "samples")


class MetricLog(Logger):
    """Write what is logged to `directory`/metrics.csv and pass it on to `tracker`.

    Give the Trainer `logger=log` and put `log.callback()` among its callbacks.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        tracker: Tracker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.directory = Path(directory)
        self.tracker: Tracker = tracker or Silent()
        self.table = CsvTable(self.directory / "metrics.csv", STAMP)
        self.timing = CsvTable(self.directory / "timing.csv", (*STAMP, "seconds"))
        self.samples = 0
        self.latest: dict[str, float] = {}
        """The metrics of the last row."""
        self._clock, self._began = clock, clock()

    @property
    def name(self) -> str:
        """Name of the log, of no meaning beyond Lightning."""
        return "metrics"

    @property
    def version(self) -> str:
        """Version of the log, of no meaning beyond Lightning."""
        return ""

    @property
    def save_dir(self) -> str:
        """Folder of metrics.csv."""
        return str(self.directory)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write one row. `metrics` should hold `samples`; without it the last known figure stands."""
        row = {name: float(value) for name, value in metrics.items() if name not in ("epoch", *STAMP)}
        if not row:
            return
        self.samples = int(metrics.get("samples", self.samples))
        self.latest = row
        stamp = {"step": self.table.rows if step is None else step, "samples": self.samples}
        self.table.append({**stamp, **row})
        self.timing.append({**stamp, "seconds": round(self._clock() - self._began, 3)})
        self.tracker.log(row, self.samples)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the resolved configuration is stored with the run."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Make every row so far durable."""
        self.table.sync()
        self.timing.sync()

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold so that `restore` can wind back to now."""
        return {"rows": self.table.rows, "columns": list(self.table.columns), "samples": self.samples}

    @rank_zero_only
    def restore(self, state: Mapping[str, Any]) -> None:
        """Drop every row written after the checkpoint `state` comes from, and tell the tracker those that stay.

        A tracker's record begins anew with each process, so a resumed run's is complete in itself.
        """
        self.table.restore(state["rows"], state["columns"])
        self.timing.restore(state["rows"], (*STAMP, "seconds"))
        self.samples = state["samples"]
        times = [float(row["seconds"]) for row in self.timing.read()]
        self._began = self._clock() - (times[-1] if times else 0.0)
        for kept in self.table.read():
            row = {name: float(value) for name, value in kept.items() if name not in STAMP}
            self.tracker.log(row, int(kept["samples"]))

    def callback(self) -> Callback:
        """The part that must see checkpoints."""
        return _AtCheckpoints(self)


class _AtCheckpoints(Callback):
    """Keeps file and checkpoint in step."""

    def __init__(self, log: MetricLog) -> None:
        self.rows = log  # not `log`: Lightning puts its own function under that name

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the state of the file into the checkpoint, once its rows are durable."""
        self.rows.finalize("checkpoint")
        checkpoint[STATE] = self.rows.state()

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Wind the file back to the checkpoint."""
        if STATE in checkpoint:
            self.rows.restore(checkpoint[STATE])
