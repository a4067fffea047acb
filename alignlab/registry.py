"""Find every installed plugin, shipped or third-party, by one rule.

Shipped methods are the folders of `plugins/`; more folders may be named in $ALIGNLAB_PLUGINS; installed packages
announce themselves by entry points. All resolve to a declaration of `alignlab.method`, so nothing downstream can
tell them apart. Nothing is imported that is not asked for, and neither torch nor Hydra is.
"""

from __future__ import annotations

import difflib
import os
import pkgutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

import alignlab.plugins
from alignlab.errors import PluginError
from alignlab.method import Component, Method

METHODS = "alignlab.methods"
LISTED = 24
"""More names than this are not listed in a message."""
SHIPPED_FOLDERS = tuple(alignlab.plugins.__path__)

SHIPPED: Mapping[str, tuple[str, ...]] = {
    "alignlab.sources": (
        "desk=alignlab.worlds.desk:SOURCE",
        "hh=alignlab.data.config:HH",
        "files=alignlab.data.config:FILES",
        "hub=alignlab.data.config:HUB",
        "promptsets=alignlab.promptsets:SOURCE",
    ),
    "alignlab.rewards": (
        "learned=alignlab.rewards:LEARNED",
        "gold=alignlab.rewards:GOLD",
        "ensemble=alignlab.rewards:ENSEMBLE",
        "length_penalised=alignlab.rewards:LENGTH_PENALISED",
        "rule=alignlab.rewards:RULE",
        "composite=alignlab.rewards:COMPOSITE",
        "directory=alignlab.rewards:DIRECTORY",
    ),
    "alignlab.annotators": (
        "source=alignlab.annotators:SOURCE",
        "policy=alignlab.annotators:POLICY",
        "model=alignlab.annotators:MODEL",
        "endpoint=alignlab.annotators:ENDPOINT",
        "rules=alignlab.worlds.desk:RULES",
    ),
    "alignlab.judges": (
        "desk=alignlab.worlds.desk:JUDGE",
        "source=alignlab.judges:SOURCE",
        "phrases=alignlab.judges:PHRASES",
        "classifier=alignlab.judges:CLASSIFIER",
        "transformers=alignlab.judges:TRANSFORMERS",
        "model=alignlab.judges:MODEL",
        "endpoint=alignlab.judges:ENDPOINT",
    ),
    "alignlab.attacks": ("desk=alignlab.worlds.desk:ATTACKS", "text=alignlab.attacks:ATTACKS"),
    "alignlab.attackers": ("desk=alignlab.worlds.desk:ATTACKER", "text=alignlab.attacks:ATTACKER"),
}
"""Components that come with alignlab, by entry-point group; others add theirs to the same groups.

An entry may stand for several: it then resolves to a mapping of declarations.
"""


class PluginWarning(UserWarning):
    """A plugin nobody asked for could not be used."""


@dataclass
class Catalogue:
    """What discovery found in one group: usable declarations, and the errors of the broken ones."""

    group: str
    found: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    broken: dict[str, Exception] = field(default_factory=dict)

    def add(self, entry: EntryPoint, kind: type[Method] | type[Component]) -> None:
        """Load one entry; a stranger's broken package must not take the others down."""
        try:
            declared = entry.load()
        except Exception as error:
            self.broken[entry.name] = error
            return
        for one in declared.values() if isinstance(declared, Mapping) else (declared,):
            self._add(one, entry, kind)

    def _add(self, declared: Any, entry: EntryPoint, kind: type[Method] | type[Component]) -> None:
        if not isinstance(declared, kind):
            self.broken[entry.name] = TypeError(
                f"{entry.value} must be an alignlab {kind.__name__}, got {type(declared).__name__}"
            )
            return
        if isinstance(declared, Method) and not _presets_of(declared):
            self.broken[entry.name] = FileNotFoundError(
                f"{entry.value} says conf={declared.conf!r}, where no algo/‹preset›.yaml is found"
            )
            return
        if declared.name in self.found:
            raise PluginError(
                f"two plugins claim the name {declared.name!r} in {self.group}: "
                f"{self.origin[declared.name]} and {_where(entry)}",
                "rename one, or uninstall the package you do not want",
            )
        self.found[declared.name], self.origin[declared.name] = declared, _where(entry)

    def get(self, name: str) -> Any:
        """The declaration, or a PluginError that suggests the nearest name or shows why it is broken."""
        if name in self.found:
            return self.found[name]
        what = self.group.rpartition(".")[2].rstrip("s")
        if name in self.broken:
            raise PluginError(
                f"{what} {name!r} could not be loaded: {self.broken[name]!r}", "fix or uninstall the plugin"
            ) from self.broken[name]
        raise PluginError(f"unknown {what} {name!r}", suggestion(name, self.found))


def suggestion(name: str, known: Iterable[str]) -> str:
    """A remedy that names the nearest known spelling and lists the rest, as far as that fits a screen."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = f"known: {', '.join(known)}" if known else "none is installed"
    if len(known) > LISTED:
        close = difflib.get_close_matches(name, known, n=LISTED // 2, cutoff=0.3)
        listed = f"near it: {', '.join(close)}; " if close[1:] else ""
        listed += f"`python -m alignlab methods` lists all {len(known)}"
    return f"did you mean {near[0]!r}? ({listed})" if near else listed


def _where(entry: EntryPoint) -> str:
    dist = f" of package {entry.dist.name}" if entry.dist is not None else ""
    return f"{entry.value}{dist}"


def plugin_folders() -> list[Path]:
    """Folders that hold one package a method: the shipped ones, then those of $ALIGNLAB_PLUGINS."""
    named = [part for part in os.environ.get("ALIGNLAB_PLUGINS", "").split(os.pathsep) if part]
    missing = [part for part in named if not Path(part).is_dir()]
    if missing:
        raise PluginError(f"ALIGNLAB_PLUGINS names {missing[0]!r}, which is no folder", "correct the variable")
    itself = [part for part in named if (Path(part) / "__init__.py").is_file()]
    if itself:
        raise PluginError(
            f"ALIGNLAB_PLUGINS names {itself[0]!r}, which is a plugin itself",
            f"name the folder that holds it: {Path(itself[0]).absolute().parent}",
        )
    unique: dict[str, Path] = {}
    for path in [*SHIPPED_FOLDERS, *named]:
        if Path(path).is_dir():
            unique.setdefault(os.path.realpath(path), Path(path))
    return list(unique.values())


def _folder_entries() -> Iterator[EntryPoint]:
    owner: dict[str, Path] = {}
    for folder in plugin_folders():
        if str(folder) not in alignlab.plugins.__path__:
            alignlab.plugins.__path__.append(str(folder))
        for info in pkgutil.iter_modules([str(folder)]):
            if not info.ispkg:
                continue
            if info.name in owner:
                raise PluginError(
                    f"two plugin folders hold {info.name!r}: {owner[info.name]} and {folder}", "rename one"
                )
            owner[info.name] = folder
            yield EntryPoint(info.name, f"alignlab.plugins.{info.name}:METHOD", METHODS)


def _candidates(group: str) -> Iterator[EntryPoint]:
    if group == METHODS:
        yield from _folder_entries()
    for line in SHIPPED.get(group, ()):
        name, _, value = line.partition("=")
        yield EntryPoint(name, value, group)
    yield from entry_points(group=group)


@cache
def catalogue(group: str) -> Catalogue:
    """Discover one group. Broken plugins are reported once and kept for whoever asks for them by name."""
    listing = Catalogue(group)
    for entry in _candidates(group):
        listing.add(entry, Method if group == METHODS else Component)
    for name, error in listing.broken.items():
        warnings.warn(f"skipping plugin {name!r} of {group}: {error!r}", PluginWarning, stacklevel=2)
    return listing


def methods() -> Mapping[str, Method]:
    """Every usable method by name."""
    return catalogue(METHODS).found


def method(name: str) -> Method:
    """One method by name, or a PluginError naming the nearest."""
    found: Method = catalogue(METHODS).get(name)
    return found


def components(kind: str) -> Mapping[str, Component]:
    """Every usable component of a kind: sources, rewards, annotators, judges, attacks or attackers."""
    return catalogue(f"alignlab.{kind}").found


def component(kind: str, name: str) -> Component:
    """One component, or a PluginError naming the nearest."""
    found: Component = catalogue(f"alignlab.{kind}").get(name)
    return found


def conf_folder(conf: str) -> Path:
    """The folder behind a Hydra search path entry: `pkg://a.b.conf` or `file:///path`."""
    scheme, _, place = conf.partition("://")
    if scheme != "pkg":
        return Path(place or scheme)
    package, _, name = place.rpartition(".")
    return Path(str(files(package))) / name


def conf_places() -> Mapping[str, str]:
    """Every plugin's Hydra search path entry and the name of the plugin it belongs to."""
    presets()
    places = {declared.conf: name for name, declared in methods().items()}
    for kind in ("sources", "rewards", "annotators", "judges"):
        places |= {part.conf: name for name, part in components(kind).items() if part.conf}
    return places


def conf_folders() -> list[Path]:
    """The folders of YAML that plugins ship."""
    return [conf_folder(place) for place in conf_places()]


def _presets_of(declared: Method) -> list[Path]:
    try:
        return sorted((conf_folder(declared.conf) / "algo").glob("*.yaml"))
    except ImportError:
        return []


@cache
def presets() -> Mapping[str, str]:
    """Every `algo=` name and the method it configures. Two plugins with one preset name are an error."""
    owner: dict[str, str] = {}
    for name, declared in methods().items():
        for path in _presets_of(declared):
            if path.stem in owner:
                raise PluginError(
                    f"methods {owner[path.stem]!r} and {name!r} both ship algo/{path.stem}.yaml", "rename one file"
                )
            owner[path.stem] = name
    return owner


def forget() -> None:
    """Drop what discovery found, so that a changed environment is seen."""
    alignlab.plugins.__path__[:] = SHIPPED_FOLDERS
    for cached in (catalogue, presets):
        cached.cache_clear()
