"""Runs of the whole command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from endtoend_runs import Runs, Undisturbed


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """Starts runs and ends those that a failed test leaves behind."""
    runs = Runs(tmp_path)
    yield runs
    runs.end()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    """What a command gives on a fresh store of its own when nothing happens to it; made once."""
    runs = Runs(tmp_path_factory.mktemp("undisturbed"))
    yield Undisturbed(runs)
    runs.end()
