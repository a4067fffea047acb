"""A setting of a dataclass: its meaning, its valid range, and the checks that read them.

Methods, sources, rewards and annotators declare their settings with `param`; what reads a command line or writes the
docs finds the declarations in the metadata of the fields.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import field, fields
from typing import Any

from alignlab.errors import ConfigError


def param(
    default: Any,
    doc: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
    search: tuple[float, float, str] | None = None,
) -> Any:
    """A dataclass field with its meaning, its valid range, and the range a fair tuning searches.

    A default that can be called makes the default, as `dict` does. `low`/`high` bound the value (excluded when
    `open_low`/`open_high`); `search` is (from, to, "log"|"linear").
    """
    meta = dict(doc=doc, low=low, high=high, open_low=open_low, open_high=open_high, search=search)
    return field(default_factory=default, metadata=meta) if callable(default) else field(default=default, metadata=meta)


def check_ranges(config: Any, prefix: str) -> None:
    """Raise ConfigError for the first field of a dataclass outside the range its `param` declares."""
    for spec in fields(config):
        value, meta = getattr(config, spec.name), spec.metadata
        if "low" not in meta or isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if not _inside(value, meta):
            raise ConfigError(
                f"{prefix}.{spec.name} must lie in {interval(meta)}, got {value}",
                f"{meta['doc']} The default is {prefix}.{spec.name}={spec.default}.",
            )


def check_choices(config: Any, **choices: tuple[str, ...]) -> None:
    """Raise ConfigError for the first of a method's settings that is none of its names; its default is advised.

    `check_choices(self, labels=("hard", "soft"))`.
    """
    defaults = {spec.name: spec.default for spec in fields(config)}
    for name, known in choices.items():
        value = getattr(config, name)
        if value not in known:
            raise ConfigError(
                f"algo.{name} must be {', '.join(known[:-1])} or {known[-1]}, got {value!r}",
                f"pass algo.{name}={defaults[name]}",
            )


def _inside(value: float, meta: Mapping[str, Any]) -> bool:
    low, high = float(meta["low"]), float(meta["high"])
    above = value > low if meta["open_low"] else value >= low
    below = value < high if meta["open_high"] else value <= high
    return above and below


def interval(meta: Mapping[str, Any]) -> str:
    """The valid range of a `param` in mathematical notation."""
    left = "(" if meta["open_low"] or math.isinf(meta["low"]) else "["
    right = ")" if meta["open_high"] or math.isinf(meta["high"]) else "]"
    return f"{left}{meta['low']:g}, {meta['high']:g}{right}"


def check_places(key: str, text: str, needed: Collection[str], known: Collection[str]) -> None:
    """Refuse a text with {places} in braces that lacks one it needs, or has one that stands for nothing."""
    found = set(re.findall(r"\{(\w+)\}", text))
    for place in sorted(set(needed) - found):
        raise ConfigError(f"{key} shows no {place}", f"write {{{place}}} where it is to stand")
    for place in sorted(found - set(known)):
        choice = ", ".join(f"{{{each}}}" for each in sorted(known))
        raise ConfigError(f"{key} has {{{place}}}, which stands for nothing", f"choose from {choice}")
