"""The four methods still take the ten steps that were recorded.

Two limits, of single numbers and of their mean difference, since a drift to one side can hide under the first.
Float32 on another processor stays well inside both; a changed loss, seed, order or default does not.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from record import FILE, METHODS, STEPS, Columns, trajectory

SINGLE, MEAN = 1e-3, 2e-4
"""Relative to the larger of 1 and the largest value of the metric."""
RERECORD = "if what is learned was meant to change, run `python -m tests.golden.record` and say why"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden")


def compare(found: Columns, expected: Columns) -> list[str]:
    """What moved, in words."""
    if found.keys() != expected.keys():
        return [f"columns {sorted(found.keys() ^ expected.keys())} came or went"]
    moved = []
    for name in expected:
        size = max(1.0, *(abs(value) for value in expected[name]))
        gaps = [(a - b) / size for a, b in zip(found[name], expected[name], strict=True)]
        if max(map(abs, gaps)) > SINGLE:
            moved.append(
                f"{name}: step {max(range(len(gaps)), key=lambda i: abs(gaps[i]))} off by {max(gaps, key=abs):.2g}"
            )
        elif abs(sum(gaps)) / len(gaps) > MEAN:
            moved.append(f"{name}: drifts by {sum(gaps) / len(gaps):.2g} a step")
    return moved


@pytest.mark.parametrize("method", METHODS)
def test_trajectory_is_the_recorded_one(method: str, store: Path) -> None:
    expected = json.loads(FILE.read_text(encoding="utf-8"))[method]
    assert all(len(values) == STEPS for values in expected.values())
    moved = compare(trajectory(method, store), expected)
    assert not moved, "\n".join([*moved, RERECORD])


def test_a_step_or_a_drift_would_be_noticed() -> None:
    expected = {"loss": [2.0, 1.0], "kl": [0.0, 0.0]}
    assert compare(expected, expected) == []
    assert compare(expected | {"loss": [2.0, 1.01]}, expected) == ["loss: step 1 off by 0.005"]
    assert compare(expected | {"kl": [3e-4, 3e-4]}, expected) == ["kl: drifts by 0.0003 a step"]
    assert compare({"loss": [2.0, 1.0]}, expected) == ["columns ['kl'] came or went"]
