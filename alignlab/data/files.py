"""Which files a path means, and how each is opened: compression and kind by content, else by name."""

from __future__ import annotations

import bz2
import difflib
import glob
import gzip
import hashlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from alignlab.errors import ConfigError, DataError


class Kind(StrEnum):
    """How rows are laid out in a file."""

    LINES = "jsonl"
    ARRAY = "json"
    CSV = "csv"
    PARQUET = "parquet"


NAMES = {
    ".jsonl": Kind.LINES,
    ".ndjson": Kind.LINES,
    ".json": Kind.ARRAY,
    ".csv": Kind.CSV,
    ".tsv": Kind.CSV,
    ".parquet": Kind.PARQUET,
}
PACKED = (".gz", ".zst", ".bz2", ".xz")
_MAGIC = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"BZh": ".bz2", b"\xfd7zXZ": ".xz"}
_WANTED = f"use {', '.join(NAMES)}, each optionally {', '.join(PACKED)}"


def find(path: Any) -> list[Path]:
    """Data files behind a file, a folder, a glob pattern, or a list of these, in sorted order.

    Raises DataError for what is missing (naming the nearest name there is), empty, or of several kinds.
    """
    patterns = [path] if isinstance(path, str | Path) else path
    if not isinstance(patterns, Sequence) or not patterns or not all(isinstance(p, str | Path) for p in patterns):
        raise ConfigError(f"data.path must be a path or a list of paths, got {path!r}", "pass data.path=‹file›")
    files = list(dict.fromkeys(file for pattern in patterns for file in _one(Path(pattern).expanduser())))
    kinds = {NAMES[suffix] for file in files if (suffix := _suffix(file)) in NAMES}
    if len(kinds) > 1:
        raise DataError(
            f"{path} holds files of several kinds: {', '.join(sorted(kinds))}",
            f"name one kind, as in data.path='{Path(patterns[0]) / '*.jsonl*'}'",
        )
    return files


def _one(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if _is_data(file.relative_to(path)) and file.is_file())
        if found:
            return found
        raise DataError(f"folder {path} holds no data files", _WANTED)
    matched = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    found = [file for file in matched if file.is_file()]
    if found:
        return found
    raise DataError(f"there is no file {path}", _nearest(path))


def _is_data(path: Path) -> bool:
    return _suffix(path) in NAMES and not any(part.startswith(".") for part in path.parts)


def _suffix(path: Path) -> str:
    name = path.with_suffix("") if path.suffix in PACKED else path
    return name.suffix.lower()


def _nearest(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder} either; paths are relative to {Path.cwd()}"
    names = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.4)
    listed = ", ".join(near or names[:5]) or "nothing"
    return f"did you mean {near[0]!r}? {folder} holds {listed}" if near else f"{folder} holds {listed}"


def open_plain(path: Path) -> IO[bytes]:
    """The file's bytes without compression, which is recognised by content."""
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty", "check how it was written")
    with path.open("rb") as file:
        start = file.read(6)
    packed = next((suffix for magic, suffix in _MAGIC.items() if start.startswith(magic)), "")
    opened: IO[bytes] = _OPEN[packed](path)
    return opened


def _zstd(path: Path) -> IO[bytes]:
    import pyarrow

    try:
        return io.BytesIO(pyarrow.input_stream(str(path), compression="zstd").read())
    except pyarrow.ArrowException as error:
        raise OSError(str(error)) from error


_OPEN: Mapping[str, Callable[[Path], Any]] = {
    "": lambda path: path.open("rb"),
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _zstd,
}


def kind_of(path: Path) -> Kind:
    """How rows are laid out, by the first bytes where they tell, else by the file's name."""
    with reading(path), open_plain(path) as file:
        start = file.read(4096)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    named = NAMES.get(_suffix(path))
    if start.startswith(b"PAR1"):
        return Kind.PARQUET
    if text[:1] in (b"{", b"["):
        return Kind.ARRAY if text[:1] == b"[" else Kind.LINES
    if not text:
        raise DataError(f"{path} is empty", "check how it was written")
    if named is None:
        raise DataError(f"{path} is of no known kind", _WANTED)
    return named


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises into a DataError that names it."""
    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path} cannot be read: {error}", "the file is damaged or cut off: copy it again") from error


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their 1-based numbers, decoded as UTF-8; DataError names the first line that is not."""
    with reading(path), open_plain(path) as file:
        for number, raw in enumerate(file, start=1):
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}, line {number}: not UTF-8, byte 0x{raw[error.start]:02x} in column {error.start + 1}",
                    f"convert it, as in iconv -f latin1 -t utf-8 {path.name}",
                ) from error
            yield number, text


def hash_files(files: Sequence[Path]) -> str:
    """SHA-256 over the contents of files in order; names and places do not count."""
    total = hashlib.sha256()
    for file in files:
        with reading(file), file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
