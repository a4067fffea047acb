"""The store of stage results: each is computed once, by one process, and found again by its key.

A result lies in `objects/<kind>-<digest>/`, published by one rename after every byte is on the disk; what stands
there is complete or was damaged later, and damage is found on loading. Unfinished work lies in `work/`, where a
stage finds its own checkpoints again, and damaged results move to `quarantine/`. See docs/store.md.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alignlab.errors import StoreError
from alignlab.stages import upkeep
from alignlab.stages.artefact import Artefact, Damaged, load, read_manifest, write_manifest
from alignlab.stages.files import disk_error, durable_rename, sync_tree
from alignlab.stages.key import StageKey
from alignlab.stages.lock import attempted, held
from alignlab.work import counting, peak_memory

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Workspace:
    """Where a stage works. It survives a crash, so that the stage can go on from what it left."""

    path: Path
    """Folder for checkpoints and scratch files; removed once the result is published."""
    out: Path
    """Folder whose files become the artefact; empty at the start of every attempt."""


class Store:
    """Content-addressed results of stages below one folder, shared by any number of processes.

    `announce` receives one line whenever the store waits, or finds something damaged.
    """

    computes = True
    """Whether `produce` may write."""

    def __init__(self, root: Path | str, announce: Announce | None = None) -> None:
        self.root = Path(root).expanduser().absolute()
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(f"{self.root} is a file, not a store", "name a folder: store=…")
        self.announce: Announce = announce or (lambda line: None)

    def get(self, key: StageKey) -> Artefact | None:
        """The verified result of a stage, or None when it has to be computed.

        A damaged result is announced by artefact and file, moved to quarantine, and counts as not there.
        """
        try:
            found = self._load(key)
        except Damaged as damage:
            found = self._replace(key, damage)
        if found is not None:
            self._mark_used(found)
        return found

    def produce(self, key: StageKey, build: Callable[[Workspace], Mapping[str, Any] | None], *, label: str) -> Artefact:
        """The result of a stage, computed by `build` unless it is stored or another process computes it.

        `build` writes files into `work.out` and returns facts about the computation for `Artefact.info`. When
        it raises, the exception passes, nothing is published, and its workspace waits for the next attempt.
        StoreError when the disk refuses.
        """
        found = self.get(key)
        if found is not None:
            return found
        with self._locked(key, label):
            found = self._settle(key) or self._compute(key, build, label)
        self._mark_used(found)
        return found

    def __iter__(self) -> Iterator[Artefact]:
        """Every artefact with a readable manifest, oldest first; its files are not checked."""
        found = []
        for folder in self.folders("objects"):
            with suppress(Damaged):
                found.append(read_manifest(folder)[0])
        return iter(sorted(found, key=lambda artefact: (artefact.created, artefact.path.name)))

    def folders(self, place: str) -> list[Path]:
        """Folders in `objects`, `work` or `quarantine`, sorted by name."""
        with disk_error(self.root / place):
            try:
                return sorted(path for path in (self.root / place).iterdir() if path.is_dir())
            except FileNotFoundError:
                return []

    def verify(self) -> list[upkeep.Damage]:
        """Read every byte of every artefact; what is damaged, nothing moved."""
        return upkeep.verify(self)

    def prune(self, rules: upkeep.Rules, *, dry_run: bool = True) -> list[upkeep.Entry]:
        """What the rules let go, removed unless `dry_run`; what a process works on now stays."""
        return upkeep.prune(self, rules, dry_run=dry_run)

    def why(self, what: str, key: StageKey | None = None) -> list[str]:
        """Lines that explain a stored artefact, or why a wanted `key` was not found; see `upkeep.why`."""
        return upkeep.why(self, what, key)

    def discard(self, artefact: Artefact) -> None:
        """Remove one artefact that nobody will ask for again, unless another process works on it."""
        with self.try_lock(artefact.path.name) as free, disk_error(artefact.path):
            if free:
                shutil.rmtree(artefact.path)

    def last_used(self, name: str) -> datetime | None:
        """When the folder `<kind>-<digest>` was last got or produced, if the store could note it."""
        try:
            return datetime.fromtimestamp((self.root / "used" / name).stat().st_mtime, UTC)
        except OSError:
            return None

    def try_lock(self, name: str) -> AbstractContextManager[bool]:
        """Hold the lock of the folder `<kind>-<digest>` if it is free; yields whether it was."""
        return attempted(self.root / "locks" / f"{name}.lock", name)

    def _locked(self, key: StageKey, label: str) -> AbstractContextManager[None]:
        return held(self.root / "locks" / f"{key.name}.lock", label, self.announce)

    def _load(self, key: StageKey) -> Artefact | None:
        folder = self.root / "objects" / key.name
        with disk_error(folder):
            return load(folder) if folder.is_dir() else None

    def _replace(self, key: StageKey, damage: Damaged) -> Artefact | None:
        """Quarantine what was found damaged, unless another process replaced it meanwhile."""
        try:
            with self._locked(key, key.kind):
                return self._settle(key)
        except StoreError as error:
            what = f"artefact {key.kind}-{key.short} is damaged ({damage}) and could not be moved away"
            raise StoreError(f"{what}: {error.message}", error.remedy) from error

    def _settle(self, key: StageKey) -> Artefact | None:
        """The result, or None with the way free for a new one. Only under the lock."""
        try:
            return self._load(key)
        except Damaged as damage:
            self._quarantine(self.root / "objects" / key.name, damage)
            return None

    def _quarantine(self, folder: Path, damage: Damaged) -> None:
        name = folder.name[: -64 + 12]
        with disk_error(self.root / "quarantine"):
            os.makedirs(self.root / "quarantine", exist_ok=True)
            taken = {path.name for path in self.folders("quarantine")}
            number = next(n for n in range(1, len(taken) + 2) if f"{folder.name}.{n}" not in taken)
            target = self.root / "quarantine" / f"{folder.name}.{number}"
            durable_rename(folder, target)
        self.announce(f"artefact {name} is damaged: {damage}. Moved to {target}; it is computed again")

    def _compute(self, key: StageKey, build: Callable[[Workspace], Mapping[str, Any] | None], label: str) -> Artefact:
        work = self.root / "work" / key.name
        space = Workspace(work, work / "out")
        with disk_error(work):
            # What an interrupted attempt left in `out` must not be published with the next.
            if space.out.exists():
                shutil.rmtree(space.out)
            os.makedirs(space.out)
            began = time.perf_counter()
            with counting() as work_done:
                info = build(space) or {}
            work_done.peak_memory_bytes = max(work_done.peak_memory_bytes, peak_memory())
            cost = {"seconds": round(time.perf_counter() - began, 1), "work": work_done.record()}
            write_manifest(space.out, key, label, {**cost, **info})
            sync_tree(space.out)
            artefact = self._publish(key, space)
        shutil.rmtree(work, ignore_errors=True)
        return artefact

    def _publish(self, key: StageKey, space: Workspace) -> Artefact:
        target = self.root / "objects" / key.name
        os.makedirs(target.parent, exist_ok=True)
        try:
            durable_rename(space.out, target)
        except OSError as error:
            # Another machine whose file system shares no locks came first; its result is as good.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        return read_manifest(target)[0]

    def _mark_used(self, artefact: Artefact) -> None:
        # Bookkeeping only: a store may be read-only or full and still serve.
        path = self.root / "used" / artefact.path.name
        with suppress(OSError):
            os.makedirs(path.parent, exist_ok=True)
            path.touch()
