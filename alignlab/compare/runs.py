"""Finished and unfinished runs as they lie in folders. Nothing is trusted: what cannot be read becomes an invalid run.

A folder of a sweep names its jobs in `sweep.json`, so that what is missing is seen as missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from alignlab.compare.content import number
from alignlab.errors import DataError

SWEEP, JOB, RESULT, SCORES = "sweep.json", "job.json", "result.json", "scores.json"
WORLD = "exact.json"
"""What training on the exact world leaves in place of a result."""
SCHEMA = 1
DONE, FAILED, INVALID, MISSING, EXACT = "done", "failed", "invalid", "missing", "exact"
DEPTH = 3
"""Folders of folders are searched this deep for runs."""


@dataclass(frozen=True, eq=False)
class Run:
    """One run, in whatever state."""

    folder: Path
    status: str
    """done, failed, killed, interrupted, running, missing, invalid, exact."""
    reason: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    """Content of result.json; empty unless done."""
    planned: Mapping[str, Any] = field(default_factory=dict)
    """What the sweep says of it: name, seed, overrides."""

    @property
    def name(self) -> str:
        """The preset."""
        return str(self.identity.get("name") or self.planned.get("name") or self.folder.name)

    @property
    def seed(self) -> int:
        """The seed that moved everything; -1 where nothing says it."""
        found = self.identity.get("seed", self.planned.get("seed"))
        return found if isinstance(found, int) else -1

    @property
    def stage_seed(self) -> Any:
        """The seed of SFT, labels and reward model."""
        return self.identity.get("stage_seed", self.settings.get("stage_seed"))

    @property
    def streams(self) -> dict[str, Any]:
        """Single streams of randomness that were fixed, by their dotted name: `streams.data` → 7."""
        return {key: value for key, value in self.settings.items() if key.startswith("streams.")}

    @property
    def fingerprints(self) -> Mapping[str, Any]:
        """Hashes of data, SFT policy, scorers."""
        return _mapping(self.result.get("fingerprints"))

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the run was about: method, name, seeds."""
        return _mapping(self.result.get("run"))

    @property
    def about(self) -> Mapping[str, Any]:
        """Settings, versions, equation."""
        return _mapping(self.result.get("about"))

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """`eval/…` figures without their prefix; None for one that is no finite number."""
        return _figures(self.result.get("metrics"))

    @property
    def sft(self) -> Mapping[str, float | None]:
        """The same figures of the policy it started from."""
        return _figures(_mapping(self.result.get("sft")).get("metrics"))

    def gain(self, name: str) -> float | None:
        """What a figure rose by over the policy it started from; None where either is not known."""
        after, before = self.metrics.get(name), self.sft.get(name)
        return None if after is None or before is None else after - before

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every setting by its dotted name."""
        return dict(_flat(_mapping(self.about.get("settings")), ""))

    @cached_property
    def scores(self) -> Mapping[str, Any]:
        """Columns of scores.json; empty where the run has none that can be read."""
        found = read_json(self.folder / SCORES)
        return found if found.get("schema") == SCHEMA else {}


def _figures(value: Any) -> dict[str, float | None]:
    return {str(name).removeprefix("eval/"): number(each) for name, each in _mapping(value).items()}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _flat(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Every run in or below the folders, each once. DataError where a folder holds none."""
    found: dict[Path, Run] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder", "name folders of runs or of a sweep, as printed at their end")
        before = len(found)
        for run in _below(folder, DEPTH):
            found.setdefault(run.folder.resolve(), run)
        if len(found) == before and not any(path.is_relative_to(folder.resolve()) for path in found):
            raise DataError(f"{folder} holds no run", f"a run's folder has a {RESULT}")
    return list(found.values())


def _below(folder: Path, depth: int) -> Iterator[Run]:
    if (folder / SWEEP).is_file():
        planned = _jobs(folder)
        if planned:
            yield from (_run(folder / str(job.get("folder")), job) for job in planned)
            return
    if any((folder / name).is_file() for name in (RESULT, JOB, WORLD)):
        yield _run(folder, {})
    elif depth:
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and not inner.name.startswith("."):
                yield from _below(inner, depth - 1)


def _jobs(folder: Path) -> list[Mapping[str, Any]]:
    """The jobs a sweep has, trials of a tuning left out; none where its file is broken."""
    jobs = read_json(folder / SWEEP).get("jobs")
    return [job for job in jobs if isinstance(job, Mapping) and job.get("folder")] if isinstance(jobs, list) else []


def read_json(path: Path) -> Mapping[str, Any]:
    """An object from a file; empty where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _run(folder: Path, planned: Mapping[str, Any]) -> Run:
    job = read_json(folder / JOB)
    known = planned or job
    status, reason = str(job.get("status", "")), str(job.get("reason", ""))
    if status and status != DONE:
        return Run(folder, status, reason or status, planned=known)
    if not (folder / RESULT).is_file():
        if (folder / WORLD).is_file():
            return Run(folder, EXACT, f"exact world: see {folder.name}/exact.html", planned=known)
        return Run(folder, MISSING, "not run yet", planned=known)
    try:
        content = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Run(folder, INVALID, f"{RESULT} cannot be read: {error}", planned=known)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        version = content.get("schema") if isinstance(content, dict) else None
        return Run(folder, INVALID, f"{RESULT} has schema version {version}, {SCHEMA} is read", planned=known)
    return Run(folder, DONE, "", content, known)
