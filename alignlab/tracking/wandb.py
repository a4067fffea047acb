"""Weights & Biases, imported only by `tracking=wandb`. Offline unless told otherwise, and then truly offline.

Every metric is declared by name over the x-axis `samples`, which is in every payload, so that panels of
different methods overlay; scores come a second time as `over_kl/…`, over the distance from the reference. Code,
git state and console output are not recorded, and no error reports are sent.
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
KL = "kl"
"""A second x-axis, nats a completion from the reference: of training samples, at the end of evaluated replies."""
KL_OF = ("train/kl", "eval/kl")
OVER_KL = ("score", "gold", "judge_score", "proxy", "win_rate")
"""Scores that are repeated as `over_kl/…` over that axis, by the last part of their names."""
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
        job_type: str | None = None,
    ) -> None:
        wandb = import_wandb()
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
                job_type=job_type,
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
        for axis in (AXIS, KL):
            self._run.define_metric(axis, hidden=True)
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
        self._run.log({**metrics, **self._over_kl(metrics), AXIS: samples})

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
        over = self._over_kl(figures)
        if over:
            self._run.log(over)
        self._run.summary.update(dict(figures))

    def page(self, name: str, path: Path) -> None:
        """Record a self-contained HTML page under `pages/`, and as a file of its own that can be downloaded."""
        with _data_folder(self.folder.parent):
            self._run.log({f"pages/{name}": self._wandb.Html(path.read_text(encoding="utf-8"), inject=False)})
            artefact = self._wandb.Artifact(f"{name}-{self._run.id}", type="page")
            artefact.add_file(str(path))
            self._run.log_artifact(artefact)

    def finish(self, *, failed: bool = False) -> None:
        """Close the run, as failed when the training was."""
        self._run.finish(exit_code=1 if failed else 0)

    def _over_kl(self, figures: Mapping[str, Any]) -> dict[str, float]:
        """Scores with the KL they were measured at, where both are known."""
        kl = next((figures[name] for name in KL_OF if figures.get(name) is not None), None)
        names = {f"over_kl/{name.rpartition('/')[2]}": name for name in figures if name.startswith(("train/", "eval/"))}
        wanted = {over: name for over, name in names.items() if over.removeprefix("over_kl/") in OVER_KL}
        scores = {over: figures[name] for over, name in wanted.items() if figures[name] is not None}
        if kl is None or not scores:
            return {}
        for name in scores:
            self._declare(name, KL)
        return {KL: kl, **scores}

    def _declare(self, name: str, axis: str = AXIS) -> None:
        if name not in self._known:
            self._run.define_metric(name, step_metric=axis)
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


def import_wandb() -> Any:
    """The package, told to be quiet. ConfigError when it is missing."""
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    try:
        import wandb
    except ImportError as error:
        raise ConfigError(
            f"tracking=wandb needs the wandb package: {error}", "pip install wandb, or pass tracking=csv"
        ) from error
    return wandb
