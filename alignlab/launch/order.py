"""What a sweep tells a worker to run, as one line of text."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alignlab.config import RunConfig

LOG = "log.txt"
"""What a job prints, in its folder."""


@dataclass(frozen=True)
class Order:
    """What a worker is told to run."""

    settings: RunConfig
    folder: Path
    overrides: Sequence[str]
    group: str

    def line(self) -> bytes:
        """One line of text."""
        return base64.b64encode(pickle.dumps(self)) + b"\n"

    @staticmethod
    def read(line: bytes) -> Order:
        """The inverse."""
        order = pickle.loads(base64.b64decode(line))
        assert isinstance(order, Order)
        return order
