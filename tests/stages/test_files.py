"""Files appear whole or not at all, and disk failures become messages."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alignlab.errors import StoreError, TrainingError
from alignlab.stages.files import (
    atomic_write_bytes,
    atomic_write_json,
    atomic_write_text,
    copy_tree_atomic,
    disk_error,
    durable_rename,
    sha256_file,
    tree,
)


def test_writes_create_folders_and_replace(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    atomic_write_text(path, "größe")
    atomic_write_text(path, "new\n")
    assert path.read_bytes() == b"new\n"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_json_keeps_order_and_refuses_nan(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomic_write_json(path, {"b": 1, "a": "é"})
    assert list(json.loads(path.read_text())) == ["b", "a"]
    with pytest.raises(ValueError, match="Out of range float"):
        atomic_write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"b": 1, "a": "é"}


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write_bytes(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:3]))
    atomic_write_bytes(tmp_path / "x", b"0123456789")
    assert (tmp_path / "x").read_bytes() == b"0123456789"


@pytest.mark.parametrize("name", ["open", "write", "fsync", "replace"])
def test_a_failing_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "x"
    atomic_write_bytes(path, b"old")

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        with pytest.raises(StoreError, match=r"No space left on device\n  remedy: free space"):
            atomic_write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_sha256_of_a_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "x").write_bytes(data)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_durable_rename_moves_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "x").write_text("x")
    durable_rename(tmp_path / "a", tmp_path / "b" / "c")
    assert tree(tmp_path) == {"b/c/x": tmp_path / "b" / "c" / "x"}


def test_tree_is_sorted_and_refuses_links(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/2", "b/1", "a"):
        (tmp_path / name).write_text(name)
    assert list(tree(tmp_path)) == ["a", "b/1", "b/2"]
    (tmp_path / "b" / "link").symlink_to(tmp_path / "a")
    with pytest.raises(StoreError, match="link is a link"):
        tree(tmp_path)


def test_copy_is_complete_and_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "a" / "sub").mkdir(parents=True)
    (tmp_path / "a" / "sub" / "x").write_text("x")
    copy_tree_atomic(tmp_path / "a", tmp_path / "new" / "b")
    assert (tmp_path / "new" / "b" / "sub" / "x").read_text() == "x"
    with pytest.raises(StoreError, match="b exists already"):
        copy_tree_atomic(tmp_path / "a", tmp_path / "new" / "b")


def test_a_copy_cut_short_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("x")

    def fail(*args: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail)
        with pytest.raises(StoreError, match="Disk quota exceeded"):
            copy_tree_atomic(tmp_path / "a", tmp_path / "b")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free space"),
        (errno.EDQUOT, "free space"),
        (errno.EACCES, "chmod"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "the disk reports a failure"),
        (errno.EMFILE, "ulimit"),
        (errno.ENOLCK, "no locks"),
    ],
)
def test_disk_failures_name_path_and_remedy(number: int, remedy: str) -> None:
    with (
        pytest.raises(StoreError, match=rf"weights\.pt: {os.strerror(number)}\n  remedy: .*{remedy}"),
        disk_error(Path("x")),
    ):
        raise OSError(number, os.strerror(number), "weights.pt")
    with pytest.raises(StoreError, match=rf"^store/x: {os.strerror(number)}"), disk_error(Path("store/x")):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "gone"), RuntimeError("size mismatch"), TrainingError("(os error 28)")]
)
def test_other_failures_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, disk_error(Path("x")):
        raise error
    assert caught.value is error


@contextmanager
def small_files() -> Iterator[None]:
    """The kernel refuses files above 1000 bytes, as a full disk would.

    Held no longer than one write: the limit counts for whatever the test runner prints into a file as well.
    """
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _torch_save(path: Path) -> None:
    import torch

    torch.save(torch.zeros(5000), path)


def _safetensors_save(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(5000)}, path)


@pytest.mark.parametrize("save", [_torch_save, _safetensors_save, lambda path: path.write_bytes(bytes(5000))])
def test_libraries_that_hide_a_full_disk_are_understood(tmp_path: Path, save: Callable[[Path], None]) -> None:
    with (
        pytest.raises(StoreError, match=r"(?s)model: .*remedy: free space"),
        disk_error(tmp_path / "model"),
        small_files(),
    ):
        save(tmp_path / "model")
