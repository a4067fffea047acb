"""Fixtures for tests that tokenise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import data_tokenizers
import pytest


@pytest.fixture(scope="session")
def build() -> Callable[..., Any]:
    """Builds a tiny tokenizer in memory: see `data_tokenizers.build`."""
    return data_tokenizers.build
