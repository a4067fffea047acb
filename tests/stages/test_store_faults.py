"""Whatever write fails, or wherever a process dies, the store stays sound and works afterwards."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from alignlab.errors import StoreError
from alignlab.stages.key import StageKey
from alignlab.stages.store import Store, Workspace

OLD, NEW = StageKey("sft", {"n": 1}), StageKey("reward", {"n": 2})
WRITES = ("open", "write", "fsync", "ftruncate", "rename", "replace", "mkdir", "unlink", "rmdir", "utime")


def build(work: Workspace) -> dict[str, int]:
    (work.out / "sub").mkdir()
    (work.out / "a").write_text("a")
    with open(work.out / "sub" / "b", "w") as stream:
        stream.write("b")
    return {"n": 1}


class Disk:
    """Counts every operation that changes the disk and acts on the chosen ones."""

    def __init__(self, chosen: Callable[[int], bool], act: Callable[[], None]) -> None:
        self.count, self.chosen, self.act = 0, chosen, act

    def wrap(self, operation: Callable[..., object]) -> Callable[..., object]:
        def watched(*args: object, **kwargs: object) -> object:
            self.count += 1
            if self.chosen(self.count):
                self.act()
            return operation(*args, **kwargs)

        return watched


@contextmanager
def disk(chosen: Callable[[int], bool], act: Callable[[], None]) -> Iterator[Disk]:
    watcher = Disk(chosen, act)
    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(os, name, watcher.wrap(getattr(os, name)))
        opener = watcher.wrap(io.open)
        patch.setattr(builtins, "open", opener)
        patch.setattr(io, "open", opener)
        yield watcher


def full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def new_store(root: Path) -> Store:
    store = Store(root)
    store.produce(OLD, build, label="old")
    return store


def check_sound(store: Store) -> None:
    assert store.verify() == []
    assert store.get(OLD) is not None
    found = store.produce(NEW, build, label="new")
    assert {name: path.read_text() for name in found.files for path in [found.file(name)]} == {"a": "a", "sub/b": "b"}
    assert store.verify() == []
    assert store.folders("quarantine") == []


def operations(root: Path) -> int:
    """How many changes of the disk one stage makes."""
    store = new_store(root)
    with disk(lambda n: False, full) as watcher:
        store.produce(NEW, build, label="new")
    return watcher.count


@pytest.mark.parametrize("persistent", [False, True], ids=["once", "from then on"])
def test_a_full_disk_at_any_write_leaves_a_sound_store(tmp_path: Path, persistent: bool) -> None:
    total = operations(tmp_path / "count")
    assert total > 15
    refused: list[StoreError] = []
    for at in range(1, total + 1):
        store = new_store(tmp_path / str(at))
        with disk(lambda n, at=at: n >= at if persistent else n == at, full):
            try:
                store.produce(NEW, build, label="new")
            except StoreError as error:
                refused.append(error)
        check_sound(store)
    # The rest are courtesies: who holds a lock, when a result was last used, clearing up.
    assert len(refused) >= total / 2
    assert all("No space left on device" in error.message and "free space" in error.remedy for error in refused)


@pytest.mark.parametrize("every", [2, 3, 5, 7])
def test_every_nth_write_failing_only_delays(tmp_path: Path, every: int) -> None:
    store = new_store(tmp_path)
    with disk(lambda n: n % every == 0, full):
        for _ in range(5):
            with suppress(StoreError):
                store.produce(NEW, build, label="new")
    check_sound(store)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_dies_at_any_write_leaves_a_sound_store(tmp_path: Path) -> None:
    total = operations(tmp_path / "count")
    for at in range(1, total + 1):
        store = new_store(tmp_path / str(at))
        child = os.fork()
        if child == 0:
            with disk(lambda n, at=at: n == at, lambda: os._exit(9)):
                store.produce(NEW, build, label="new")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        check_sound(store)


@pytest.mark.parametrize(("number", "remedy"), [(errno.EROFS, "read-only"), (errno.EACCES, "chmod")])
def test_a_store_that_cannot_be_written_still_serves(tmp_path: Path, number: int, remedy: str) -> None:
    store = new_store(tmp_path)
    expected = store.get(OLD)
    opening = os.open

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number), str(args[0]))

    def read_only(path: Path, flags: int, *args: object, **kwargs: object) -> int:
        return refuse(path) if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else opening(path, flags, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", read_only)
        for name in ("mkdir", "rename", "replace", "utime", "unlink"):
            patch.setattr(os, name, refuse)
        assert store.get(OLD) == expected == store.produce(OLD, build, label="old")
        with pytest.raises(StoreError, match=rf"{os.strerror(number)}\n  remedy: .*{remedy}"):
            store.produce(NEW, build, label="new")
        expected.file("a").write_text("b")
        with pytest.raises(StoreError, match=rf"sft-{OLD.short} is damaged \(a was edited\) and could not be moved"):
            store.get(OLD)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the super-user may write everywhere")
def test_a_folder_without_write_permission(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    folders = [path for path in [store.root, *store.root.rglob("*")] if path.is_dir()]
    for path in folders:
        path.chmod(0o555)
    try:
        assert store.get(OLD) is not None
        with pytest.raises(StoreError, match=r"Permission denied\n  remedy: make it accessible"):
            store.produce(NEW, build, label="new")
    finally:
        for path in folders:
            path.chmod(0o755)
