"""What a sweep concludes with: the comparison of its runs."""

from __future__ import annotations

from pathlib import Path

from alignlab.config import RunConfig


def conclude(folder: Path, settings: RunConfig) -> None:
    """Compare, write, print."""
