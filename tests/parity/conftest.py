"""What every comparison needs."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL tells its makers of each trainer that is built, except where it believes to be tested."""
    monkeypatch.setenv("CI", "true")
