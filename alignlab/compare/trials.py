"""What fair tunings tried: the chosen settings of each method, performance against the number of trials, and which
rows nobody tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab.compare.conditions import Condition
from alignlab.compare.runs import Run, read_json
from alignlab.compare.tuning import tuning_curve
from alignlab.errors import DataError

TUNING = "tuning.json"
Found = Mapping[str, Any]


def tuning(folders: Sequence[Path], rows: Sequence[Condition]) -> dict[str, Any] | None:
    """The tunings recorded in the folders, with the rows each was for; None where there is none.

    `trials` is their number where all tunings had the same. The sentence names rows that no tuning was for.
    """
    known = [(folder, read_json(folder / TUNING)) for folder in dict.fromkeys(folders)]
    tuned = [(folder, content) for folder, content in known if content.get("schema") == 1]
    if not tuned:
        return None
    several = len(tuned) > 1
    parts = [_told(content, f" ({folder.name})" if several else "") for folder, content in tuned]
    trials = {content.get("trials") for _, content in tuned}
    return {
        "trials": trials.pop() if len(trials) == 1 else None,
        "curves": [curve for part in parts for curve in part["curves"]],
        "chosen": [choice for part in parts for choice in part["chosen"]],
        "sentence": _sentence(tuned, rows),
    }


def _told(content: Found, where: str) -> dict[str, Any]:
    methods = content.get("methods") or {}
    curves = []
    for name, found in methods.items():
        trials = found.get("trials") or []
        try:
            curve = tuning_curve(
                [_score(each, "selection") for each in trials], [_score(each, "reported") for each in trials]
            )
        except DataError:
            continue
        line = {"k": list(curve.trials), "expected": list(curve.expected)}
        curves.append({"id": name, "label": f"{name}{where}", **line})
    return {
        # Only random trials are exchangeable, which the curve rests on.
        "curves": curves if content.get("sampler") == "random" else [],
        "chosen": [
            {"id": name, "label": f"{name}{where}", **(found.get("chosen") or {})} for name, found in methods.items()
        ],
    }


def _sentence(tuned: Sequence[tuple[Path, Found]], rows: Sequence[Condition]) -> str:
    """What each tuning did and for which rows, and the rows that none was for."""
    said, reached = [], {row.id: set[int]() for row in rows}
    for folder, content in tuned:
        own = []
        for row in rows:
            seeds = {seed for seed, run in row.runs.items() if _tuned(run, folder, content.get("methods") or {})}
            reached[row.id] |= seeds
            own += [row.label] if seeds else []
        lead = f"{folder.name}: " if len(tuned) > 1 else ""
        said.append(f"{lead}{content.get('sentence', '')} Tuned so: {', '.join(own) or 'no row'}.".strip())
    rest = [row.label for row in rows if not reached[row.id]]
    partly = [row.label for row in rows if reached[row.id] and reached[row.id] != row.runs.keys()]
    said += [f"Not tuned: {', '.join(rest)}."] if rest else []
    said += [f"Tuned at some seeds only: {', '.join(partly)}."] if partly else []
    return " ".join(said)


def _tuned(run: Run, folder: Path, methods: Found) -> bool:
    """Whether a run is in the folder of a tuning, and was given what one of its searches chose."""
    if not run.folder.resolve().is_relative_to(folder.resolve()):
        return False
    given = run.planned.get("overrides")
    typed = {str(item) for item in given} if isinstance(given, list) else set()
    # A search is called by its preset and the settings that were typed; the run has the chosen ones besides.
    names = [str(name).split(" ") for name, found in methods.items() if found.get("chosen")]
    return any(name == run.name and set(fixed) <= typed for name, *fixed in names)


def _score(row: Found, name: str) -> float:
    value = row.get(name)
    return float("nan") if value is None else float(value)
