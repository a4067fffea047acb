"""Offers each in-process engine by name."""

from __future__ import annotations

import pytest
from tiny_models import ENGINES


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine by name."""
    return request.param
