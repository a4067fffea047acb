"""Where metrics go beside metrics.csv. A tracker only mirrors: no result is ever read back from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from alignlab.config import TrackingConfig


class Tracker(Protocol):
    """What a run tells a tracker. `samples` is the x-axis of every metric."""

    def log(self, metrics: Mapping[str, float], samples: int) -> None:
        """Record metrics at a number of training rows seen."""
        ...

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record a table, such as sampled completions; every row has the keys of the first."""
        ...

    def summary(self, figures: Mapping[str, Any]) -> None:
        """Record final figures of the run."""
        ...

    def finish(self, *, failed: bool = False) -> None:
        """Close the record. Nothing may be logged afterwards."""
        ...


class Silent:
    """The tracker of `tracking=csv`: metrics.csv is all there is."""

    def log(self, metrics: Mapping[str, float], samples: int) -> None:
        """Nothing."""

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Nothing."""

    def summary(self, figures: Mapping[str, Any]) -> None:
        """Nothing."""

    def finish(self, *, failed: bool = False) -> None:
        """Nothing."""


def open_tracker(
    settings: TrackingConfig, directory: str | Path, *, config: Mapping[str, Any], name: str, group: str = ""
) -> Tracker:
    """The tracker the settings ask for, writing below `directory`; wandb is imported only here and only for it.

    `config` is the resolved configuration; `name` and `group` (a sweep's) stand in where the settings name none.
    """
    if settings.kind == "csv":
        return Silent()
    from alignlab.tracking.wandb import WandbTracker

    return WandbTracker(
        project=settings.project,
        entity=settings.entity,
        group=settings.group or group or None,
        tags=settings.tags,
        name=settings.name or name,
        mode=settings.mode,
        directory=directory,
        config=config,
    )
