"""Files that are either there in full or not there, and disk failures told as messages.

Writing goes to a temporary name in the same folder, is flushed to the disk, and takes the final name by one
rename, so that a reader, a crash or a full disk never meets half a file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alignlab.errors import AlignlabError, StoreError

_SPACE = "free space there (`python -m alignlab cache prune` shows what can go), or put the store elsewhere: store=…"
_ACCESS = "make it accessible (`chmod -R u+rwX`), or put the store elsewhere: store=…"
_HANDLES = "raise the limit of open files (`ulimit -n`)"
_REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EROFS: "the file system is read-only; put the store elsewhere: store=…",
    errno.EIO: "the disk reports a failure; put the store on another one: store=…",
    errno.ENOTDIR: "a part of this path is a file; name a folder: store=…",
    errno.EEXIST: "a file is in the way; move it, or name another folder: store=…",
    errno.EMFILE: _HANDLES,
    errno.ENFILE: _HANDLES,
    errno.ENOLCK: "the file system has no locks; put the store on one that has: store=…",
    errno.EOPNOTSUPP: "the file system has no locks; put the store on one that has: store=…",
}
_RUST = re.compile(r"\(os error (\d+)\)")
_TORCH = ("PytorchStreamWriter failed", "unexpected pos ")
"""How torch reports a file that it could not write to the end; safetensors quotes the error number."""


@contextmanager
def disk_error(path: Path) -> Iterator[None]:
    """Turn a failure of the disk into a StoreError that names the path and a remedy.

    Other exceptions, a missing file among them, are defects of the caller and pass unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        raise StoreError(f"{error.filename or path}: {error.strerror}", _REMEDIES[error.errno]) from error
    except Exception as error:
        remedy = None if isinstance(error, AlignlabError) else _library_remedy(str(error))
        if remedy is None:
            raise
        first = error.__context__  # torch complains about its own position after the write that failed
        reason = first.strerror if isinstance(first, OSError) and first.strerror else error
        raise StoreError(f"{path}: a file could not be written: {reason}", remedy) from error


def _library_remedy(text: str) -> str | None:
    """Remedy for a failure of the disk that a library reports without an OSError; None for anything else."""
    quoted = _RUST.search(text)
    if quoted:
        return _REMEDIES.get(int(quoted[1]))
    return _SPACE if any(mark in text for mark in _TORCH) else None


def sync(path: Path) -> None:
    """Flush a file or folder to the disk. Folders of Windows have no such operation and need none."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def durable_rename(source: Path, target: Path) -> None:
    """Rename so that the new name survives a power cut. OSError when a non-empty folder is in the way."""
    os.rename(source, target)
    sync(target.parent)
    if source.parent != target.parent:
        sync(source.parent)


def beside(path: Path) -> Path:
    """A fresh hidden name in the folder of `path`."""
    return path.with_name(f".{path.name[:64]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a file in full or not at all, replacing what was there. Creates missing folders.

    Permissions follow the umask, so that colleagues can read what one of them wrote. StoreError when the disk
    refuses.
    """
    with disk_error(path):
        os.makedirs(path.parent, exist_ok=True)
        temporary = beside(path)
        try:
            _write(temporary, data)
            os.replace(temporary, path)
            sync(path.parent)
        finally:
            with suppress(OSError):
                os.unlink(temporary)


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def atomic_write_text(path: Path, text: str) -> None:
    """Write UTF-8 text in full or not at all, replacing what was there."""
    atomic_write_bytes(path, text.encode())


def atomic_write_json(path: Path, value: Any) -> None:
    """Write indented JSON, keys in the order given, in full or not at all. NaN raises ValueError."""
    atomic_write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its POSIX name relative to it, sorted. StoreError for a link."""
    found = {}
    for base, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(base, name)
            if path.is_symlink():
                raise StoreError(f"{path} is a link, which would let its content change later", "copy the file itself")
        found.update({Path(base, name).relative_to(folder).as_posix(): Path(base, name) for name in names})
    return dict(sorted(found.items()))


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below, and the folder itself."""
    for base, _, names in os.walk(folder):
        for name in names:
            sync(Path(base, name))
        sync(Path(base))


def copy_tree_atomic(source: Path, target: Path) -> None:
    """Copy a folder so that `target` appears complete or not at all. StoreError when it exists already."""
    if target.exists():
        raise StoreError(f"{target} exists already", "remove it or choose another name")
    with disk_error(target):
        os.makedirs(target.parent, exist_ok=True)
        temporary = beside(target)
        try:
            shutil.copytree(source, temporary)
            sync_tree(temporary)
            durable_rename(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
