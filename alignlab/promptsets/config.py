"""What can be set about prompt sets. Torch-free."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from alignlab.attacks.kinds import check_kinds
from alignlab.errors import ConfigError
from alignlab.settings import param

KEY = "evaluation.posture"
"""Where these settings stand, for messages."""
HUB = "hub:"
"""Begins a path that means a data set of the hub: hub:‹owner›/‹name›@‹revision›."""
_HUB = re.compile(rf"{HUB}(?P<name>[^@\s]+)@(?P<revision>[^@\s]+)")


class OnHub(NamedTuple):
    """A data set of the hub at one revision."""

    name: str
    revision: str


@dataclass(kw_only=True)
class PromptSetsConfig:
    """Prompts of published sets, and what attacks are made on them."""

    sets: dict[str, str] = field(
        default_factory=dict,
        metadata={"doc": "Name and file of each set, or hub:‹owner›/‹name›@‹revision›; see docs/attacks.md."},
    )
    attacks: list[str] | None = param(None, "Attack kinds, drawn uniformly; null takes the request and every one.")

    def __post_init__(self) -> None:
        """Check the names of attacks, and that what comes from the hub is pinned."""
        if self.attacks is not None:
            check_kinds(f"{KEY}.attacks", self.attacks)
        for name, path in self.sets.items():
            on_hub(name, path)


@dataclass(kw_only=True)
class PromptSetsData(PromptSetsConfig):
    """Published prompts alone. Read by `python -m alignlab posture`."""

    source: str = "promptsets"
    """The plugin."""


def on_hub(name: str, path: str) -> OnHub | None:
    """What a path names on the hub, None for a local one. ConfigError without a revision: runs would not repeat."""
    if not path.startswith(HUB):
        return None
    found = _HUB.fullmatch(path)
    if found is None:
        raise ConfigError(
            f"{KEY}.sets.{name}={path} names no revision of a data set",
            f"write {HUB}‹owner›/‹name›@‹revision›, best with a commit as revision",
        )
    return OnHub(found["name"], found["revision"])
