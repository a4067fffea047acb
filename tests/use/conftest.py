"""Finished runs that tests read, made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import OFFLINE, TINY

from alignlab.compose import composed
from alignlab.config import typed
from alignlab.run import run


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, a run that trained (runs/dpo) and one that acts at inference (runs/best_of_n)."""
    home = tmp_path_factory.mktemp("home")
    before = Path.cwd()
    os.chdir(home)
    try:
        for name, own in (("dpo", OFFLINE), ("best_of_n", ("algo.n=2",))):
            run(typed(composed([f"algo={name}", *own, *TINY])), home / "runs" / name, overrides=[f"algo={name}"])
    finally:
        os.chdir(before)
    return home


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder as the working directory of a narrow terminal."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("COLUMNS", "80")
    return home
