"""What is written about the jobs of a sweep, so that the same command computes only what is missing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from alignlab.launch.jobs import Job, described
from alignlab.stages.files import atomic_write_json, disk_error
from alignlab.stages.key import LIBRARIES, dumps

SWEEP, JOB, RESULT = "sweep.json", "job.json", "result.json"
SCHEMA = 1
OUTSIDE = ("compare", "label", "launch", "tracking")
"""Folders of the core that decide nothing about a run."""


@cache
def code() -> str:
    """A hash of the source of the core and of every plugin, and the libraries that change numbers."""
    import alignlab
    from alignlab import registry

    root, digest = Path(alignlab.__file__).parent, hashlib.sha256()
    for top in (root, *registry.plugin_folders()):
        for path in sorted(top.rglob("*.py")):
            parts = path.relative_to(top).parts
            if top != root or parts[0] not in (*OUTSIDE, "plugins"):
                digest.update("/".join(parts).encode() + b"\0" + path.read_bytes())
    digest.update(dumps({name: ".".join(version(name).split(".")[:2]) for name in LIBRARIES}).encode())
    return digest.hexdigest()[:16]


def address(job: Job) -> str:
    """What the job's result depends on; 16 digits."""
    return hashlib.sha256(f"{job.address} {code()}".encode()).hexdigest()[:16]


def finished(job: Job) -> bool:
    """Whether the job's folder holds the whole result of just this job."""
    record = _read(job.folder / JOB)
    return (
        record.get("status") == "done"
        and record.get("address") == address(job)
        and bool(_read(job.folder / RESULT).get("schema"))
    )


def _read(path: Path) -> Mapping[str, Any]:
    """An object from a file; empty for a file that is absent or broken, which counts as not computed."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def begin(job: Job) -> None:
    """Mark as running: a result that was there is of another job, or was interrupted."""
    with disk_error(job.folder):
        (job.folder / RESULT).unlink(missing_ok=True)
    _write(job, "running", "", 0.0)


def end(job: Job, status: str, reason: str, seconds: float) -> None:
    """Record how a job ended: done, failed, killed, interrupted."""
    _write(job, status, reason, seconds)


def _write(job: Job, status: str, reason: str, seconds: float) -> None:
    content = {"schema": SCHEMA, **described(job), "status": status, "reason": reason, "seconds": seconds}
    atomic_write_json(job.folder / JOB, content | {"address": address(job)})


def write_sweep(folder: Path, command: str, jobs: Sequence[Job], notes: Sequence[str]) -> None:
    """What was asked for, for whoever reads the folder."""
    content = {"schema": SCHEMA, "command": command, "notes": list(notes), "jobs": [described(job) for job in jobs]}
    atomic_write_json(folder / SWEEP, content)
