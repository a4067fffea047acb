"""A model that settings name, by a directory or by its id on the hub: whether it can be one, what identifies it.

Imports no torch by itself, so that settings can use it. `key` is the setting that named the model, for messages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from alignlab.errors import ModelError
from alignlab.stages.files import sha256_file

READ = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.tiktoken")
"""Files that decide what is loaded."""


@contextmanager
def told_as(key: str) -> Iterator[None]:
    """Errors about a model directory under the key that it was given by."""
    try:
        yield
    except ModelError as error:
        raise ModelError(*(text.replace("model.path", key) for text in (error.message, error.remedy))) from error


def is_local(path: str, key: str) -> bool:
    """Whether a directory is named; False for an id of the hub. ModelError for a directory that holds no model."""
    from alignlab.models.load import check_location

    with told_as(key):
        return check_location(path)


def identity(path: str, commit: str | None, key: str) -> dict[str, Any]:
    """The content of a directory wherever it lies, or the commit of a model of the hub."""
    if is_local(path, key):
        return {"files": content(path)}
    return {"hub": path, "commit": _found(path, commit, key)}


def _found(path: str, commit: str | None, key: str) -> str | None:
    """The commit that the hub has under the name."""
    from transformers import AutoConfig

    try:
        found = AutoConfig.from_pretrained(path, revision=commit)
    except (OSError, ValueError) as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        remedy = "check the id and the network, or pass a local directory"
        raise ModelError(f"{key}={path!r} could not be loaded: {first}", remedy) from error
    return getattr(found, "_commit_hash", None) or commit


def content(path: str) -> str:
    """SHA-256 over names and contents of the files that decide what is loaded."""
    folder = Path(path).expanduser()
    files = sorted({file for pattern in READ for file in folder.glob(pattern)})
    return _content(tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@cache
def _content(files: tuple[tuple[str, int, int], ...]) -> str:
    """Computed once in a process for as long as the files stay untouched."""
    lines = [f"{Path(name).name} {sha256_file(Path(name))}" for name, _, _ in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
