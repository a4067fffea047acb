"""Run one LightningModule over its batches so that it can be stopped at any moment and go on to the same bits.

Everything random in a step is derived from (seed, step), so a checkpoint holds weights, optimiser, loop progress
and position in the data, and no random state. Checkpoints lie in the stage's work folder, written durably.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.multiprocessing.spawn import ProcessRaisedException

from alignlab.config import TrainerConfig
from alignlab.errors import TrainingError
from alignlab.models.recompute import recomputing
from alignlab.models.size import SMALL
from alignlab.modules.pace import Pace
from alignlab.seeding import Seeds
from alignlab.stages.files import durable_rename
from alignlab.stages.metered import Meter, Spent, read_spent
from alignlab.tracking.bar import StageBar
from alignlab.tracking.console import say, warn
from alignlab.tracking.metrics import MetricLog
from alignlab.work import charge, counting

LAST = "last.ckpt"
STOPS = (signal.SIGINT, signal.SIGTERM)
TERMINATED = 128 + signal.SIGTERM
"""Exit code of a process that was asked to end, as shells report it."""


@dataclass(frozen=True)
class Job:
    """Where and how one training runs."""

    label: str
    work: Path
    config: TrainerConfig
    seeds: Seeds
    tracker: Any = None
    snapshot: Callable[[int], None] | None = None
    """Called after the batches at which a snapshot of the policy is due."""
    pace: Pace | None = None
    """The budget that ends the training, where it is no number of batches."""


def fit(module: L.LightningModule, data: L.LightningDataModule, job: Job) -> Spent:
    """Train to the end, from the last checkpoint of the work folder if there is one; returns what that took.

    Metrics go to `work/metrics.csv`. Asked to stop by SIGINT or SIGTERM, it finishes the step and writes a
    checkpoint; then KeyboardInterrupt or SystemExit passes.
    """
    log = MetricLog(job.work, tracker=job.tracker)
    config = job.config
    with _quiet(), counting() as own:
        meter = Meter(job.work, own, job.pace)
        trainer = L.Trainer(
            accelerator=accelerator(config),
            devices=config.devices,
            # Strategies that start the command again would wait for the lock of the stage they are in.
            strategy="ddp_fork" if config.devices > 1 else config.strategy,
            precision=config.precision,  # type: ignore[arg-type]
            max_epochs=1,
            logger=log,
            log_every_n_steps=1,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=str(job.work),
            plugins=[DurableCheckpoints()],
            callbacks=[
                StageBar(job.label),
                SeedEachStep(job.seeds),
                log.callback(),
                meter,
                # Before the checkpoint of the same step, after which a resumed run would not come back to it.
                *([Snapshots(config.snapshots, job.snapshot, meter)] if job.snapshot else []),
                Resumable(job.work / LAST, config.checkpoint_seconds),
            ],
        )
        with _signals_given_back(), recomputing(module) if config.gradient_checkpointing else nullcontext():
            trainer.fit(module, datamodule=data, ckpt_path=_usable(job.work / LAST), weights_only=True)
    spent = read_spent(job.work)
    charge(spent.work)
    return spent


def accelerator(config: TrainerConfig) -> str:
    """What training runs on: `auto` means CUDA where it is, else the CPU (others lack float64)."""
    if config.accelerator in ("auto", "gpu", "cuda"):
        return "cuda" if config.accelerator != "auto" or torch.cuda.is_available() else "cpu"
    return config.accelerator


def threads_for(parameters: int, config: TrainerConfig) -> int:
    """CPU threads for a model: spin barriers make two threads slower than one on small models."""
    return config.threads or (1 if parameters <= SMALL else os.cpu_count() or 1)


class SeedEachStep(Callback):
    """Give torch's own generator a state that depends on the step alone, so that none has to be restored."""

    def __init__(self, seeds: Seeds) -> None:
        self.seeds = seeds

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed before anything of the step is drawn; processes differ."""
        torch.manual_seed(self.seeds.of("dropout", batch_idx, trainer.global_rank))


class Resumable(Callback):
    """Write a checkpoint now and then, between steps only; asked to stop, finish the step, write one and stop."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self._due = 0.0
        self._asked = 0
        self._speaks = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take over Ctrl-C and SIGTERM, from Lightning too; `fit` gives them back."""
        self._due = time.monotonic() + self.seconds
        self._speaks = trainer.is_global_zero
        if _owns_signals():
            for number in STOPS:
                signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = number
        again = "; Ctrl-C again stops at once" if number == signal.SIGINT else ""
        with suppress(RuntimeError):  # the signal may have come in the middle of another line
            if self._speaks:
                say(f"stopping after this step, so that the same command goes on from here{again}")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is time, then stop if asked to."""
        # The first process decides for all: a checkpoint is made together.
        due, asked = trainer.strategy.broadcast((time.monotonic() >= self._due, self._asked))
        if due or asked:
            trainer.save_checkpoint(self.path)
            self._due = time.monotonic() + self.seconds
        if asked == signal.SIGTERM:
            raise SystemExit(TERMINATED)
        if asked:
            raise KeyboardInterrupt


class Snapshots(Callback):
    """Call back after the batches that end `count` equal parts of a training, the last one included."""

    def __init__(self, count: int, save: Callable[[int], None], meter: Meter) -> None:
        self.count, self.save, self.meter = count, save, meter

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when this batch ends one of the equal parts; processes hold the same weights, so one of them does."""
        if not trainer.is_global_zero:
            return
        before, done, total = self.meter.progress(trainer, batch_idx)
        if (done * self.count) // total > (before * self.count) // total:
            self.save(batch_idx + 1)


class DurableCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there, on the disk before the run goes on, read without pickled code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write beside the target, flush to the disk, rename."""
        target = Path(path)
        partial = target.with_name(f".{target.name}.partial")
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        durable_rename(partial, target)


def _usable(path: Path) -> str | None:
    """The checkpoint to go on from; one that cannot be read, or whose bytes changed, is set aside and said so."""
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            changed = archive.testzip()  # torch itself reads past wrong checksums
        if changed is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {changed}")
        torch.load(path, map_location="meta", weights_only=True, mmap=True)
    except Exception as error:  # any unreadable file has the same remedy
        aside = path.with_suffix(".damaged")
        path.replace(aside)
        warn(f"checkpoint {path} cannot be read ({error.__class__.__name__}); moved to {aside.name}, starting again")
        return None
    return str(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's advice about loaders and hardware is about choices made on purpose here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _owns_signals() -> bool:
    """Only the main thread may say what a signal does."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _signals_given_back() -> Iterator[None]:
    """Lightning turns Ctrl-C into an exit with code 1, and SIGTERM into one with 0; and may leave both taken."""
    handlers = [signal.getsignal(number) for number in STOPS]
    try:
        yield
    except SIGTERMException as exit_:
        raise SystemExit(TERMINATED) from exit_
    except ProcessRaisedException as error:
        raise _told(str(error)) or error from error
    except SystemExit as exit_:
        if isinstance(exit_.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from exit_
        raise
    finally:
        if _owns_signals():
            for number, handler in zip(STOPS, handlers, strict=True):
                signal.signal(number, handler)


def _told(text: str) -> TrainingError | None:
    """The expected failure behind the traceback that one of several processes left, if it was one."""
    found = re.search(
        rf"^{TrainingError.__module__}\.{TrainingError.__name__}: (.*?)(?:\n  remedy: (.*))?$", text, re.M
    )
    return TrainingError(found[1], found[2] or "") if found else None
