"""A lock between processes that the kernel releases, however its holder ends.

The lock is the advisory lock on the file, never the file's existence: a killed process leaves nothing that has
to be cleaned up. The file's text only tells people who holds it.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from alignlab.errors import StoreError
from alignlab.stages.files import disk_error

POLL = 0.1
"""Seconds between two attempts; short sleeps keep Ctrl-C working."""

_BUSY = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_open_locks: set[_Lock] = set()

if sys.platform == "win32":
    import msvcrt

    def _try(handle: int) -> None:
        # Windows locks are mandatory: lock a byte past the text, which others must be able to read.
        os.lseek(handle, 1 << 30, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def held(path: Path, label: str, announce: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock at `path`, waiting for another holder and saying so once.

    StoreError when the file cannot be written, or when this very thread holds the lock already, which would
    wait for ever.
    """
    lock = _Lock(path, label)
    try:
        _wait(lock, announce)
        yield
    finally:
        lock.close()


@contextmanager
def attempted(path: Path, label: str) -> Iterator[bool]:
    """Hold the lock if it is free; yields whether it was."""
    lock = _Lock(path, label)
    try:
        yield lock.take()
    finally:
        lock.close()


class _Lock:
    """One open lock file of one thread."""

    def __init__(self, path: Path, label: str) -> None:
        self.path, self.label, self.owner = path, label, (os.getpid(), threading.get_ident())
        self.taken = False
        with disk_error(path):
            os.makedirs(path.parent, exist_ok=True)
            self.handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        _open_locks.add(self)

    def take(self) -> bool:
        """Take the lock if it is free, and write who has it."""
        with disk_error(self.path):
            try:
                _try(self.handle)
            except OSError as error:
                if error.errno in _BUSY:
                    return False
                raise
        self.taken = True
        self._write(json.dumps(dict(pid=os.getpid(), host=socket.gethostname(), label=self.label)))
        return True

    def close(self) -> None:
        """Release. In a forked child the handle is closed already and its number may be another file's."""
        if self in _open_locks:
            _open_locks.discard(self)
            if self.taken:
                self._write("")
            os.close(self.handle)

    def _write(self, text: str) -> None:
        # Who holds it is a courtesy: a full disk must not stop a reader that only needs the lock.
        with suppress(OSError):
            os.ftruncate(self.handle, 0)
            os.lseek(self.handle, 0, os.SEEK_SET)
            os.write(self.handle, text.encode())


def _forget_inherited() -> None:
    # A forked worker shares the open file; were it to outlive a killed holder, it would keep the lock.
    for lock in _open_locks:
        with suppress(OSError):
            os.close(lock.handle)
    _open_locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited)


def _wait(lock: _Lock, announce: Callable[[str], None]) -> None:
    told = False
    while not lock.take():
        if any(other.taken and other.path == lock.path and other.owner == lock.owner for other in tuple(_open_locks)):
            raise StoreError(f"stage {lock.label} needs itself", "remove the stage from its own parents")
        holder = _holder(lock.path)
        if holder and not told:
            announce(f"waiting for {lock.label}, which process {holder['pid']} on {holder['host']} computes")
            told = True
        time.sleep(POLL)


def _holder(path: Path) -> dict[str, str]:
    """What the holder wrote; empty in the moment between its locking and its writing."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}
