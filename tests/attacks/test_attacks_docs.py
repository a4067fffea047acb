"""The page names every attack, attacker and set, with the papers and licences that their code names."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from alignlab import registry
from alignlab.attacks import ATTACKS
from alignlab.promptsets import SETS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "attacks.md").read_text(encoding="utf-8")


def test_every_name_is_there():
    for kind in ("attacks", "attackers"):
        for name, component in registry.components(kind).items():
            if component.target.startswith("alignlab."):
                assert f"`{name}`" in PAGE, name


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_papers_are_those_of_the_docstrings(name):
    [line] = [line for line in PAGE.splitlines() if line.startswith("|") and f"`{name}`" in line]
    source = import_module(ATTACKS[name].target.partition(":")[0]).__doc__ or ""
    named = set(re.findall(r"arXiv:\d+\.\d+", line))
    assert named
    assert named <= set(re.findall(r"arXiv:\d+\.\d+", source))


@pytest.mark.parametrize("name", sorted(SETS))
def test_sets_are_described_as_they_are_read(name):
    known = SETS[name]
    [line] = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}`")]
    assert f"| {known.licence} | {known.paper} |" in line
    assert f"`{known.origin.rpartition(', ')[2]}`" in line
    assert all(kind in line for kind in ({known.kind} if known.kind else set(known.kinds.values())))
