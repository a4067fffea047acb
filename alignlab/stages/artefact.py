"""One published stage result: a folder of files and the manifest that vouches for them.

The manifest names every file with its size and hash, the key it was computed for, and a seal over itself, so
that a truncated, edited or missing file is found before anything is built on it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alignlab.errors import StoreError
from alignlab.stages.files import atomic_write_json, disk_error, sha256_file, tree
from alignlab.stages.key import StageKey, canonical, dumps, recorded

MANIFEST = "manifest.json"
RECORDS = ("metrics.csv",)
"""Files that tell how a result came about: what is computed from the result does not depend on them."""
FORMAT = 1
"""Version of the manifest; a higher one was written by a newer alignlab."""

_SETTLED = 100_000_000
_hashes: dict[tuple[int, ...], str] = {}


class Damaged(Exception):
    """A stored file is not what the manifest says. Never leaves the store."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file} {reason}")
        self.file, self.reason = file, reason


@dataclass(frozen=True)
class Artefact:
    """A verified result of a stage."""

    path: Path
    """Folder that holds the files."""
    key: StageKey
    label: str
    """What the stage was called when it was computed."""
    files: Mapping[str, int]
    """Size in bytes of every file, by POSIX name relative to `path`."""
    content: str
    """SHA-256 over names and contents of the files alone; what a child stage puts in its key."""
    info: Mapping[str, Any]
    """What the stage reported about itself: cost, health, …"""
    created: datetime

    @property
    def kind(self) -> str:
        """Kind of the stage."""
        return self.key.kind

    @property
    def digest(self) -> str:
        """Digest of the key."""
        return self.key.digest

    @property
    def name(self) -> str:
        """Kind and the first 12 digits of the digest, for people."""
        return f"{self.key.kind}-{self.key.short}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return name in self.files

    def file(self, name: str) -> Path:
        """Path of a file or sub-folder of the artefact; StoreError naming what is there when it has none such."""
        if name in self.files or any(file.startswith(f"{name}/") for file in self.files):
            return self.path / name
        raise StoreError(f"artefact {self.name} has no file {name!r}", f"it holds {', '.join(self.files)}")


def write_manifest(folder: Path, key: StageKey, label: str, info: Mapping[str, Any]) -> None:
    """Vouch for the files now in `folder`.

    StoreError when there are none (children could not tell two such artefacts apart) or one has the manifest's
    name; ConfigError when `info` holds something JSON cannot.
    """
    found = tree(folder)
    if not found or MANIFEST in found:
        what = f"wrote {MANIFEST}, a name the store uses" if found else "wrote no files"
        raise StoreError(f"stage {label} {what}", "fix what the stage writes into its `out` folder")
    files = {name: {"size": path.stat().st_size, "sha256": sha256_file(path)} for name, path in found.items()}
    manifest = {
        "format": FORMAT,
        "kind": key.kind,
        "digest": key.digest,
        "label": label,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "content": _content(files),
        "info": canonical(info, "info", recorded),
        "files": files,
        "fields": key.fields,
    }
    atomic_write_json(folder / MANIFEST, {**manifest, "seal": _seal(manifest)})


def read_manifest(folder: Path) -> tuple[Artefact, Mapping[str, str]]:
    """The artefact in `folder` and the hash of each file, files unchecked.

    Damaged when the manifest is unreadable or edited; StoreError when it is of a newer format.
    """
    try:
        with disk_error(folder / MANIFEST):
            manifest = json.loads((folder / MANIFEST).read_bytes())
        if manifest["format"] > FORMAT:
            raise StoreError(f"{folder} was written by a newer alignlab", "update alignlab, or use another store=…")
        if manifest.pop("seal") != _seal(manifest):
            raise Damaged(MANIFEST, "was edited")
        return _parse(folder, manifest), {name: file["sha256"] for name, file in manifest["files"].items()}
    except FileNotFoundError:
        raise Damaged(MANIFEST, "is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Damaged(MANIFEST, "is not readable") from None


def _parse(folder: Path, manifest: Mapping[str, Any]) -> Artefact:
    key = StageKey(manifest["kind"], manifest["fields"])
    if not key.digest == manifest["digest"] == folder.name.removeprefix(f"{key.kind}-"):
        raise Damaged(MANIFEST, "belongs to another artefact")
    return Artefact(
        path=folder,
        key=key,
        label=manifest["label"],
        files={name: file["size"] for name, file in manifest["files"].items()},
        content=manifest["content"],
        info=manifest["info"],
        created=datetime.fromisoformat(manifest["created"]),
    )


def load(folder: Path) -> Artefact:
    """The artefact in `folder`, every file checked by size and hash; Damaged names the first that fails."""
    artefact, hashes = read_manifest(folder)
    for name, expected in hashes.items():
        with disk_error(folder / name):
            _check(folder, name, artefact.files[name], expected)
    return artefact


def _check(folder: Path, name: str, size: int, expected: str) -> None:
    try:
        found = os.stat(folder / name).st_size
        if found != size:
            raise Damaged(name, f"has {found} bytes instead of {size}")
        if _remembered(folder / name) != expected:
            raise Damaged(name, "was edited")
    except FileNotFoundError:
        raise Damaged(name, "is missing") from None


def _remembered(path: Path) -> str:
    """Hash of a file, computed once in this process for as long as the file stays untouched."""
    stat = os.stat(path)
    mark = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if mark not in _hashes:
        found = sha256_file(path)
        # Clocks of file systems tick in milliseconds: a file just written could change under the same stamp.
        if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) < _SETTLED:
            return found
        _hashes[mark] = found
    return _hashes[mark]


def forget_hashes() -> None:
    """Have every file read again, for a verification that trusts no time stamp."""
    _hashes.clear()


def _content(files: Mapping[str, Mapping[str, Any]]) -> str:
    made = {name: file["sha256"] for name, file in files.items() if name not in RECORDS}
    return hashlib.sha256(dumps(made or {name: file["sha256"] for name, file in files.items()}).encode()).hexdigest()


def _seal(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(dumps(manifest).encode()).hexdigest()
