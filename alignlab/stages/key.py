"""The address of a stage: a hash of everything its result depends on, and nothing else.

A key is a kind (`sft`, `reward`, …) and a mapping of fields in canonical JSON: the resolved settings the stage
reads, its seeds, the content hashes of its parents and data, tokenizer, dtype, library versions and source hash.
Machine paths, trackers and thread counts do not belong in it; a file enters by the hash of its content.

Numbers compare by value, so that `beta: 1` and `beta: 1.0` in YAML are one address; `true` stays apart from 1.
Order of mappings and sets does not count, order of lists does. NaN equals nothing, itself included, and is
refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import numbers
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath
from typing import Any

from alignlab.errors import ConfigError

LIBRARIES = ("torch", "transformers", "tokenizers")
"""Libraries whose major.minor version changes numbers, and therefore enters every key."""

_KIND = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ABSENT = object()


@dataclass(frozen=True, eq=False)
class StageKey:
    """Kind and canonical fields of one stage; two keys are equal when their digests are.

    Raises ConfigError, naming the dotted field, for a value without a canonical form.
    """

    kind: str
    fields: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(self.kind):
            raise ConfigError(
                f"stage kind {self.kind!r} cannot name a folder", "use lower case letters, digits, '_', '.' and '-'"
            )
        object.__setattr__(self, "fields", canonical(self.fields))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of kind and fields, 64 hexadecimal digits."""
        return hashlib.sha256(dumps({"kind": self.kind, "fields": self.fields}).encode()).hexdigest()

    @property
    def short(self) -> str:
        """The first 12 digits of the digest, for people."""
        return self.digest[:12]

    @property
    def name(self) -> str:
        """Folder name in the store."""
        return f"{self.kind}-{self.digest}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StageKey) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def dumps(value: Any) -> str:
    """Canonical JSON text: sorted, no spaces, ASCII, shortest exact floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def exact(value: float, where: str) -> int | float | str:
    """A number by its value: integral floats become integers, infinities their names; NaN raises ConfigError."""
    if math.isnan(value):
        raise ConfigError(f"{where or 'a stage field'} is NaN, which has no address", "give it a number")
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def recorded(value: float, where: str) -> float | str:
    """A number as it is, for records outside a key: what JSON cannot spell becomes its name."""
    return value if math.isfinite(value) else str(value)


def canonical(value: Any, where: str = "", number: Callable[[float, str], Any] = exact) -> Any:
    """Reduce a value to plain JSON types that mean the same on every machine.

    Enums become their values, dataclasses and mappings dicts with string keys, sets sorted lists, paths POSIX
    text. `number` decides what a float becomes. Raises ConfigError naming `where` for anything else.
    """
    if isinstance(value, Enum):
        return canonical(value.value, where, number)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (str, PurePath)):
        return value.as_posix() if isinstance(value, PurePath) else str(value)
    if isinstance(value, numbers.Real):
        return int(value) if isinstance(value, numbers.Integral) else number(float(value), where)
    return _container(value, where, number)


def _container(value: Any, where: str, number: Callable[[float, str], Any]) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = {spec.name: getattr(value, spec.name) for spec in fields(value)}
    if isinstance(value, Mapping):
        return {_name(k, where): canonical(v, _join(where, k), number) for k, v in value.items()}
    if isinstance(value, Set):
        return sorted((canonical(item, where, number) for item in value), key=dumps)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [canonical(item, _join(where, i), number) for i, item in enumerate(value)]
    raise ConfigError(
        f"{where or 'a stage field'} is a {type(value).__module__}.{type(value).__qualname__}, "
        "which has no canonical form",
        "give numbers, text, lists, mappings, enums or dataclasses; a file or tensor by the hash of its content",
    )


def _name(key: Any, where: str) -> str:
    key = key.value if isinstance(key, Enum) else key
    if not isinstance(key, str):
        raise ConfigError(f"{where or 'a stage key'} has the entry {key!r}, whose name is not text", "name it by text")
    return str(key)


def _join(where: str, part: Any) -> str:
    part = part.value if isinstance(part, Enum) else part
    return f"{where}.{part}" if where else str(part)


def environment() -> dict[str, str]:
    """major.minor of the libraries a stage computes with, read without importing them."""
    return {name: _release(name) for name in LIBRARIES}


def _release(name: str) -> str:
    try:
        return ".".join(re.findall(r"\d+", version(name))[:2])
    except PackageNotFoundError:
        return "absent"


def flatten(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of every leaf of canonical JSON; an empty container is a leaf."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    empty = True
    for part, item in items:
        empty = False
        yield from flatten(item, _join(where, part))
    if empty:
        yield where, value


def differing(a: StageKey, b: StageKey) -> dict[str, tuple[Any, Any]]:
    """Dotted fields whose values differ, with the value in `a` and in `b` (a sentinel where it is absent)."""
    left, right = ({"kind": key.kind, **dict(flatten(key.fields))} for key in (a, b))
    pairs = {name: (left.get(name, _ABSENT), right.get(name, _ABSENT)) for name in sorted({*left, *right})}
    return {name: pair for name, pair in pairs.items() if pair[0] is _ABSENT or pair[0] != pair[1]}


def diff(a: StageKey, b: StageKey) -> list[str]:
    """One line for each dotted field in which two keys differ, `field: value in a → value in b`."""
    return [f"{name}: {show(one)} → {show(two)}" for name, (one, two) in differing(a, b).items()]


def show(value: Any) -> str:
    """A leaf for people: hashes cut to 12 digits, `absent` where a key lacks the field."""
    if value is _ABSENT:
        return "absent"
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return value[:12]
    return json.dumps(value, ensure_ascii=False)
