"""Weights & Biases, imported only by `tracking=wandb`. Offline unless told otherwise, and then truly offline.

Every metric is declared by name over the x-axis `samples`, which is in every payload, so that panels of
different methods overlay. Code, git state and console output are not recorded, and no error reports are sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alignlab.errors import ConfigError, StoreError
from alignlab.tracking.console import say

AXIS = "samples"
QUIET = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}
"""Read by wandb when it is imported; what the user has set already wins."""


class WandbTracker:
    """One wandb run. `directory` receives wandb's own `wandb/` folder; `group` gathers the runs of a sweep."""

    def __init__(
        self,
        *,
        project: str,
        directory: str | Path,
        config: Mapping[str, Any],
        entity: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        name: str | None = None,
        mode: str = "offline",
    ) -> None:
        wandb = _import()
        self._wandb = wandb
        self._known: set[str] = set()
        Path(directory).mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            mode=mode,
            console="off",
            disable_code=True,
            disable_git=True,
            save_code=False,
            silent=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        try:
            self._run = wandb.init(
                project=project,
                entity=entity,
                group=group,
                tags=list(tags),
                name=name,
                mode=mode,
                dir=str(directory),
                config=dict(config),
                settings=settings,
                reinit="create_new",
            )
        except wandb.Error as error:
            raise StoreError(
                f"wandb could not start a run in mode {mode!r}: {error}",
                "pass tracking.mode=offline, or tracking=csv; for mode=online log in first with `wandb login`",
            ) from error
        self._run.define_metric(AXIS, hidden=True)
        if mode == "offline":
            say(f"wandb records offline; to send it later: wandb sync {Path(self._run.dir).parent}", "dim")

    @property
    def folder(self) -> Path:
        """Where wandb keeps this run's files."""
        return Path(self._run.dir).parent

    def log(self, metrics: Mapping[str, float], samples: int) -> None:
        """Record metrics at a number of training rows seen."""
        for name in metrics:
            self._declare(name)
        self._run.log({**metrics, AXIS: samples})

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record a table under `tables/`; every row has the keys of the first. No rows, no table."""
        if not rows:
            return
        columns = list(rows[0])
        data = [[row[column] for column in columns] for row in rows]
        with _data_folder(self.folder.parent):
            table = self._wandb.Table(columns=columns, data=data, allow_mixed_types=True)
            self._run.log({f"tables/{name}": table})

    def summary(self, figures: Mapping[str, Any]) -> None:
        """Record final figures of the run, which wandb's tables of runs show."""
        self._run.summary.update(dict(figures))

    def finish(self, *, failed: bool = False) -> None:
        """Close the run, as failed when the training was."""
        self._run.finish(exit_code=1 if failed else 0)

    def _declare(self, name: str) -> None:
        if name not in self._known:
            self._run.define_metric(name, step_metric=AXIS)
            self._known.add(name)


@contextmanager
def _data_folder(folder: Path) -> Iterator[None]:
    """Keep what wandb stages for upload beside the run, so that the run folder is all that `wandb sync` needs."""
    chosen = "WANDB_DATA_DIR" in os.environ
    os.environ.setdefault("WANDB_DATA_DIR", str(folder))
    try:
        yield
    finally:
        if not chosen:
            del os.environ["WANDB_DATA_DIR"]


def _import() -> Any:
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    try:
        import wandb
    except ImportError as error:
        raise ConfigError(
            f"tracking=wandb needs the wandb package: {error}", "pip install wandb, or pass tracking=csv"
        ) from error
    return wandb
