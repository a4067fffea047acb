"""Looking after a store: reading everything again, removing what is no longer wanted, and explaining keys."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from alignlab.errors import ConfigError, StoreError
from alignlab.stages.artefact import Artefact, Damaged, forget_hashes, load
from alignlab.stages.files import disk_error
from alignlab.stages.key import StageKey, diff, differing, flatten, show

if TYPE_CHECKING:
    from alignlab.stages.store import Store

_NAME = re.compile(r"(?P<kind>.+)-(?P<digest>[0-9a-f]{64})(\.\d+)?")
_DIGEST = re.compile(rb"[0-9a-f]{64}")
_TEXTS = {".json", ".jsonl", ".yaml", ".yml", ".txt", ".csv"}


@dataclass(frozen=True)
class Damage:
    """An artefact that is not what it was when it was published."""

    path: Path
    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What to let go. Rules narrow one another; at least one must be given."""

    older_than: timedelta | None = None
    """Not used for this long."""
    kind: str | None = None
    """Results of this kind of stage only."""
    reachable: Collection[str] | None = None
    """Digests that must stay, with everything they were computed from; the rest is unreachable."""
    everything: bool = False
    """No condition at all."""

    def __post_init__(self) -> None:
        chosen = (self.older_than, self.kind, self.reachable)
        if self.everything == any(rule is not None for rule in chosen):
            raise ConfigError(
                "pruning needs to know what may go",
                "give an age, a kind or the runs to keep, or ask for everything; not both",
            )


@dataclass(frozen=True)
class Entry:
    """One folder of the store that can be removed."""

    place: str
    """`objects`, `work` (unfinished) or `quarantine` (damaged)."""
    path: Path
    kind: str
    digest: str
    size: int
    """Bytes."""
    used: datetime

    @property
    def name(self) -> str:
        """Kind and the first 12 digits of the digest, for people."""
        return f"{self.kind}-{self.digest[:12]}"


def verify(store: Store) -> list[Damage]:
    """Read every byte of every artefact of a store; what is damaged, nothing moved."""
    forget_hashes()
    found = []
    for folder in store.folders("objects"):
        try:
            load(folder)
        except Damaged as damage:
            found.append(Damage(folder, damage.file, damage.reason))
    return found


def entries(store: Store) -> list[Entry]:
    """Every folder of a store that can be removed, the longest unused first."""
    found = []
    for place in ("objects", "work", "quarantine"):
        for path in store.folders(place):
            match = _NAME.fullmatch(path.name)
            if match:
                used = (place == "objects" and store.last_used(path.name)) or _modified(path)
                found.append(Entry(place, path, match["kind"], match["digest"], _size(path), used))
    return sorted(found, key=lambda entry: (entry.used, entry.path))


def prune(store: Store, rules: Rules, *, dry_run: bool) -> list[Entry]:
    """What the rules let go, removed unless `dry_run`. What a process works on now stays."""
    keep = _ancestry(store, rules.reachable) if rules.reachable is not None else frozenset()
    chosen = [entry for entry in entries(store) if _goes(entry, rules, keep)]
    return chosen if dry_run else [entry for entry in chosen if _remove(store, entry)]


def _goes(entry: Entry, rules: Rules, keep: Collection[str]) -> bool:
    if rules.kind is not None and entry.kind != rules.kind:
        return False
    if rules.older_than is not None and datetime.now(UTC) - entry.used < rules.older_than:
        return False
    return entry.digest not in keep


def _ancestry(store: Store, roots: Iterable[str]) -> frozenset[str]:
    """Digests of the artefacts that the roots name by digest or content, and of all they were computed from."""
    artefacts = list(store)
    named: dict[str, list[Artefact]] = {}
    for artefact in artefacts:
        named.setdefault(artefact.digest, []).append(artefact)
        named.setdefault(artefact.content, []).append(artefact)
    kept: set[str] = set()
    open_ends = list(roots)
    while open_ends:
        for artefact in named.get(open_ends.pop(), ()):
            if artefact.digest not in kept:
                kept.add(artefact.digest)
                open_ends.extend(value for _, value in flatten(artefact.key.fields) if isinstance(value, str))
    return frozenset(kept)


def digests_in(folder: Path, store: Store) -> frozenset[str]:
    """Every digest that a text file below a folder of runs names; the store itself does not count as a run.

    StoreError when there is no such folder.
    """
    if not folder.is_dir():
        raise StoreError(f"there is no folder of runs {folder}", "name the folder whose runs should keep their stages")
    found: set[bytes] = set()
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(base, name).absolute() != store.root]
        for name in names:
            if Path(name).suffix in _TEXTS:
                found.update(_DIGEST.findall(Path(base, name).read_bytes()))
    return frozenset(digest.decode() for digest in found)


def _remove(store: Store, entry: Entry) -> bool:
    with store.try_lock(f"{entry.kind}-{entry.digest}") as free, disk_error(entry.path):
        if not free:
            store.announce(f"{entry.name} stays: a process works on it")
            return False
        # One rename takes it out of sight whole; a removal cut short leaves no half artefact behind.
        trash = store.root / "trash"
        os.makedirs(trash, exist_ok=True)
        with suppress(FileNotFoundError):
            os.rename(entry.path, trash / f"{entry.path.name}.{secrets.token_hex(4)}")
            if entry.place == "objects":
                os.unlink(store.root / "used" / entry.path.name)
        for leftover in trash.iterdir():
            shutil.rmtree(leftover, ignore_errors=True)
    return True


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _size(path: Path) -> int:
    total = 0
    for base, _, names in os.walk(path):
        for name in names:
            # A process at work may take a file away while we count.
            with suppress(OSError):
                total += os.lstat(os.path.join(base, name)).st_size
    return total


def why(store: Store, what: str, key: StageKey | None = None) -> list[str]:
    """Explain keys in lines of text.

    With a wanted `key`: how it differs from the nearest stored artefact of its kind. A kind, or the beginning of
    a label such as `ppo`: how the newest such artefact differs from the one of the same label before it. Otherwise
    `what` is the start of a digest or of `<kind>-<digest>`: the fields of that artefact. StoreError when nothing
    stored answers to `what`.
    """
    if key is not None:
        return _wanted(store, key, what)
    kin = [artefact for artefact in store if _answers(artefact, what)]
    if not kin:
        return _describe(find(store, what))
    same = [artefact for artefact in kin if artefact.label == kin[-1].label]
    return contrast(same[-2], same[-1]) if len(same) > 1 else _describe(kin[-1])


def _answers(artefact: Artefact, what: str) -> bool:
    """Whether an artefact is of the kind, or its label begins so; digits of a digest are no label."""
    if artefact.kind == what:
        return True
    return not set(what) <= set("0123456789abcdef") and artefact.label.lower().startswith(what.lower())


def find(store: Store, prefix: str) -> Artefact:
    """The one artefact whose digest or `<kind>-<digest>` starts so. StoreError when none or several do."""
    artefacts = list(store)
    found = [a for a in artefacts if a.digest.startswith(prefix) or a.path.name.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    kinds = ", ".join(sorted({a.kind for a in artefacts})) or "nothing"
    if found:
        raise StoreError(f"{prefix!r} could be any of {', '.join(a.name for a in found)}", "give more of its digits")
    raise StoreError(
        f"nothing in {store.root} answers to {prefix!r}; it holds {kinds}", "see `python -m alignlab cache ls`"
    )


def contrast(a: Artefact, b: Artefact) -> list[str]:
    """How the keys of two artefacts differ, a header and one line for each field."""
    return [f"{a.name} ({a.label}) → {b.name} ({b.label})", *_indent(diff(a.key, b.key) or ["the keys are equal"])]


def _describe(artefact: Artefact) -> list[str]:
    header = f"{artefact.name} ({artefact.label}), {artefact.created:%Y-%m-%d %H:%M} UTC, in {artefact.path}"
    fields = [f"{name} = {show(value)}" for name, value in flatten(artefact.key.fields)]
    info = [f"info.{name} = {show(value)}" for name, value in flatten(artefact.info)]
    return [header, *_indent([*fields, f"content = {artefact.content[:12]}", *info])]


def _wanted(store: Store, key: StageKey, label: str) -> list[str]:
    kin = [artefact for artefact in store if artefact.kind == key.kind]
    if any(artefact.key == key for artefact in kin):
        return [f"{label} is stored as {key.kind}-{key.short}"]
    if not kin:
        return [f"{label} has to be computed: {store.root} holds no {key.kind!r}"]
    # Of equally near ones the newest, which is the one a person is likely to have in mind.
    nearest = min(reversed(kin), key=lambda artefact: len(differing(artefact.key, key)))
    header = f"{label} has to be computed; the nearest stored is {nearest.name} ({nearest.label}), which differs in"
    return [header, *_indent(diff(nearest.key, key))]


def _indent(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
