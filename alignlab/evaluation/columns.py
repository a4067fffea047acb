"""The scores of a run as columns: what comparing many runs needs, a tenth the size of their samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alignlab.compare.content import PRIMARY
from alignlab.evaluation.record import Reply, Sample
from alignlab.stages.files import atomic_write_text

SCHEMA = 1
"""Version of scores.json; a reader refuses any other."""
DIGITS = 7
"""Significant digits kept of a score: more than any of them is good for."""


def write_columns(path: Path, samples: Sequence[Sample]) -> None:
    """Write one list a figure, all in the order of the samples, in one atomic move.

    `prompt` and `attempt` identify a reply in every run of a seed; `own` and `sft` hold score, length and verdict of
    the reply and of its twin by the SFT policy. null: not measured.
    """
    content = {
        "schema": SCHEMA,
        "prompt": [sample.prompt.id for sample in samples],
        "attempt": [sample.attempt for sample in samples],
        "kind": [sample.prompt.kind for sample in samples],
        "attack": [sample.prompt.attack for sample in samples],
        "kl": [_short(sample.kl) for sample in samples],
        "own": _replies(samples),
        "sft": _replies([sample.sft for sample in samples]),
    }
    atomic_write_text(path, json.dumps(content, separators=(",", ":"), allow_nan=False))


def _replies(replies: Sequence[Reply | None]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        name: [None if reply is None else _short(getattr(reply, name)) for reply in replies] for name in PRIMARY
    }
    columns["length"] = [None if reply is None else reply.length for reply in replies]
    columns["verdict"] = [
        None if reply is None or reply.verdict is None else str(reply.verdict.value) for reply in replies
    ]
    return columns


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")
