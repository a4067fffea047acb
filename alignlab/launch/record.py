"""What is written about the jobs of a sweep, so that the same command computes only what is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from alignlab.compare.runs import JOB, RESULT, SWEEP, WORLD, read_json
from alignlab.errors import ConfigError
from alignlab.launch.jobs import Job, described
from alignlab.stages.files import atomic_write_json, disk_error
from alignlab.stages.key import LIBRARIES, dumps

SCHEMA = 1
OUTSIDE = ("compare", "label", "launch", "tracking")
"""Folders of the core that decide nothing about a run."""
COMPUTES = ("compare/subsets.py", "compare/overoptimisation.py")
"""Files in them that do: the curve of best-of-n is made by these."""
LONGEST = 4096
"""Longer texts name no file."""
NAMES_FILES = ("data", "model", "reward", "annotator", "judge", "stages", "algo")
"""Groups of settings whose texts may be paths of files that a result depends on."""


@cache
def code() -> str:
    """A hash of the source of the core and of every plugin, and the libraries that change numbers."""
    import alignlab
    from alignlab import registry

    root, digest = Path(alignlab.__file__).parent, hashlib.sha256()
    for top in (root, *registry.plugin_folders()):
        for path in sorted(top.rglob("*.py")):
            parts = path.relative_to(top).parts
            name = "/".join(parts)
            if top != root or parts[0] not in (*OUTSIDE, "plugins") or name in COMPUTES:
                digest.update(name.encode() + b"\0" + path.read_bytes())
    digest.update(dumps({name: ".".join(version(name).split(".")[:2]) for name in LIBRARIES}).encode())
    return digest.hexdigest()[:16]


def address(job: Job) -> str:
    """What the job's result depends on: settings, code, libraries, the files that settings name; 16 digits."""
    return _digest(job.address, code(), *_stamps(job))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _stamps(job: Job) -> Iterator[str]:
    """Size and time of every local file that a setting names.

    A touched file only sends the job to the store, which looks at the content.
    """
    settings = asdict(job.settings)
    for text in sorted({each for group in NAMES_FILES for each in _texts(settings.get(group))}):
        path = Path(text)
        if not text or len(text) > LONGEST or not path.exists():
            continue
        for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if each.is_file():
                yield f"{each} {each.stat().st_size} {each.stat().st_mtime_ns}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)


def result_of(job: Job) -> Path:
    """The file whose presence says that the job is complete."""
    return job.folder / (RESULT if job.settings.exact is None else WORLD)


def finished(job: Job) -> bool:
    """Whether the job's folder holds the whole result of just this job."""
    record = read_json(job.folder / JOB)
    return record.get("status") == "done" and record.get("address") == address(job) and bool(read_json(result_of(job)))


def refuse_others(jobs: Sequence[Job]) -> None:
    """Raise ConfigError for a folder that holds the finished result of other settings, which would be lost."""
    for job in jobs:
        record = read_json(job.folder / JOB)
        if record.get("status") == "done" and record.get("settings") not in (None, _digest(job.address)):
            raise ConfigError(
                f"{job.folder} holds the result of another job ({' '.join(record.get('overrides') or [])})",
                "name another folder by hydra.sweep.dir=, or remove this one",
            )


def begin(job: Job) -> None:
    """Mark as running: a result that was there is of another job, or was interrupted."""
    with disk_error(job.folder):
        result_of(job).unlink(missing_ok=True)
    _write(job, "running", "", 0.0)


def end(job: Job, status: str, reason: str, seconds: float) -> None:
    """Record how a job ended: done, failed, killed, interrupted."""
    _write(job, status, reason, seconds)


def _write(job: Job, status: str, reason: str, seconds: float) -> None:
    content = {"schema": SCHEMA, **described(job), "status": status, "reason": reason, "seconds": seconds}
    keys = {"settings": _digest(job.address), "address": address(job)}
    atomic_write_json(job.folder / JOB, content | keys)


def write_sweep(folder: Path, command: str, jobs: Sequence[Job], notes: Sequence[str]) -> None:
    """What was asked for, for whoever reads the folder."""
    content = {"schema": SCHEMA, "command": command, "notes": list(notes), "jobs": [described(job) for job in jobs]}
    atomic_write_json(folder / SWEEP, content)
