"""One root seed, several independent named streams.

Every random decision draws from a stream that is a pure function of (root seed, stream name, counters).
No global random state carries information from one step to the next, so that a resumed run needs none
restored, a cached stage changes nothing downstream, and moving one stream leaves the others where they are.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from alignlab.errors import ConfigError

STREAMS: Mapping[str, str] = {
    "world": "which training requests, demonstrations and label prompts are drawn",
    "init": "initial weights of fresh parameters (base model, value heads)",
    "data": "order of training rows",
    "dropout": "torch's own generator during a training step",
    "rollout": "sampling of completions during training",
    "labels": "sampling of completion pairs and the annotator's noise",
    "evaluation": "sampling of completions for evaluation",
}
"""Every stream and what it decides."""


def derive(*parts: int | str) -> int:
    """Hash the parts into an integer in [0, 2**63); stable over processes, machines and Python versions."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class Seeds:
    """A root seed with optional replacements for single streams (`streams.data=7`)."""

    root: int
    streams: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = set(self.streams) - set(STREAMS)
        if unknown:
            raise ConfigError(f"unknown seed stream {sorted(unknown)[0]!r}", f"choose from {', '.join(STREAMS)}")

    def of(self, stream: str, *counters: int | str) -> int:
        """The seed of a stream at given counters, in [0, 2**63)."""
        if stream not in STREAMS:
            raise ConfigError(f"unknown seed stream {stream!r}", f"choose from {', '.join(STREAMS)}")
        return derive(self.streams.get(stream, self.root), stream, *counters)

    def random(self, stream: str, *counters: int | str) -> random.Random:
        """A Python generator for a stream at given counters."""
        return random.Random(self.of(stream, *counters))

    def key(self, *names: str) -> dict[str, int]:
        """What a stage that reads these streams depends on, for its content address."""
        return {name: self.streams.get(name, self.root) for name in names}
