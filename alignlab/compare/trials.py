"""What a fair tuning tried: the chosen settings of each method, and performance against the number of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab.compare.runs import read_json
from alignlab.compare.tuning import tuning_curve
from alignlab.errors import DataError

TUNING = "tuning.json"


def tuning(folders: Sequence[Path]) -> dict[str, Any] | None:
    """The tuning recorded in one of the folders; None where there is none."""
    for folder in folders:
        content = read_json(folder / TUNING)
        if content.get("schema") == 1:
            return _told(content)
    return None


def _told(content: Mapping[str, Any]) -> dict[str, Any]:
    methods = content.get("methods") or {}
    curves = []
    for name, found in methods.items():
        rows = found.get("trials") or []
        try:
            curve = tuning_curve([_score(row, "selection") for row in rows], [_score(row, "reported") for row in rows])
        except DataError:
            continue
        curves.append({"id": name, "label": name, "k": list(curve.trials), "expected": list(curve.expected)})
    exchangeable = content.get("sampler") == "random"
    return {
        "trials": content.get("trials"),
        "curves": curves if exchangeable else [],
        "chosen": [{"id": name, "label": name, **(found.get("chosen") or {})} for name, found in methods.items()],
        "sentence": str(content.get("sentence", "")),
    }


def _score(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return float("nan") if value is None else float(value)
