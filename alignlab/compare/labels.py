"""How rows are called: the preset's name with the settings in which rows differ, as they would be typed.

A setting that is null in one row and a group of settings in another differs, although the two share no key. Where two
rows would still be called the same, a short digest of their settings tells them apart.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Settings = Mapping[str, Any]
METHOD = "algo."
GROUP = "{…}"
"""Stands for a group of settings where another row has a single value."""
MOST = 3
"""Settings that only some of several like-named rows know are shown up to this many; beyond it a digest is shorter."""


def text(value: Any) -> str:
    """A value as one text, so that equal texts are equal values."""
    return json.dumps(value, sort_keys=True, default=str)


def shown(rows: Sequence[tuple[str, Settings]]) -> list[dict[str, Any]]:
    """For each row, given by preset and deciding settings, those settings that its label shows.

    They are the settings of the method in which rows of its preset differ, and all others in which any rows differ.
    """
    outside = _differing(rest for _, own in rows for rest in [_part(own, method=False)])
    by_name: dict[str, list[Settings]] = defaultdict(list)
    for name, own in rows:
        by_name[name].append(_part(own, method=True))
    within = {name: _differing(parts) for name, parts in by_name.items()}
    found = [_picked(own, sorted(outside | within[name])) for name, own in rows]
    return _with_absent(rows, found)


def named(name: str, settings: Settings) -> str:
    """A preset with some settings, as they would be typed."""
    return " ".join([name, *(f"{key.removeprefix(METHOD)}={_value(value)}" for key, value in settings.items())])


def unique(labels: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Labels, with a digest of its key behind each that is shared by different keys."""
    owners: dict[str, set[str]] = defaultdict(set)
    for label, key in zip(labels, keys, strict=True):
        owners[label].add(key)
    return [
        f"{label} #{digest(key)[:6]}" if len(owners[label]) > 1 else label
        for label, key in zip(labels, keys, strict=True)
    ]


def digest(key: str) -> str:
    """Eight digits of a key."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def outside(settings: Settings) -> dict[str, Any]:
    """The settings that are not the method's own."""
    return _part(settings, method=False)


def _part(settings: Settings, *, method: bool) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key.startswith(METHOD) is method}


def _differing(settings: Iterable[Settings]) -> set[str]:
    """Keys of more than one value, and keys that are a value here and a group there."""
    values: dict[str, set[str]] = defaultdict(set)
    groups: set[str] = set()
    for each in settings:
        for key, value in each.items():
            values[key].add(text(value))
            parts = key.split(".")
            groups.update(".".join(parts[:count]) for count in range(1, len(parts)))
    return {key for key, found in values.items() if len(found) > 1} | (groups & set(values))


def _picked(settings: Settings, keys: Iterable[str]) -> dict[str, Any]:
    found = {}
    for key in keys:
        if key in settings:
            found[key] = settings[key]
        elif any(own.startswith(f"{key}.") for own in settings):
            found[key] = GROUP
    return found


def _with_absent(rows: Sequence[tuple[str, Settings]], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that would be called the same also show what only some of them have, where that is little."""
    alike: dict[str, list[int]] = defaultdict(list)
    for place, ((name, _), own) in enumerate(zip(rows, found, strict=True)):
        alike[named(name, own)].append(place)
    for places in alike.values():
        keys: list[set[str]] = [set(rows[place][1]) for place in places]
        some = keys[0].union(*keys) - keys[0].intersection(*keys)
        if len(some) <= MOST:
            for place in places:
                found[place] |= _picked(rows[place][1], sorted(some & set(rows[place][1])))
    return found


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
