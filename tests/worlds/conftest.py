"""Desk-world fixtures."""

from __future__ import annotations

import pytest

from alignlab.data.schema import Message, Prompt
from alignlab.seeding import Seeds
from alignlab.worlds.desk import SOURCE, DeskConfig


@pytest.fixture(scope="session")
def source():
    return SOURCE.load()(DeskConfig(demonstrations=3000, pairs=2000, held_out_pairs=1000))


@pytest.fixture(scope="session")
def demonstrations(source):
    return source.demonstrations(Seeds(0))


@pytest.fixture(scope="session")
def make_prompt():
    """A prompt written by hand, independent of how the world builds its own."""

    def make(kind: str, style: str, need: int, thing: str, relevant: str) -> Prompt:
        meta = {"thing": thing, "style": style, "relevant": relevant.split(), "need": need}
        return Prompt(id="p", messages=(Message("user", "explain"),), kind=kind, meta=meta)

    return make
