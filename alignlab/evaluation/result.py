"""`result.json`: one run's figures with everything needed to judge and repeat them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab.errors import StoreError
from alignlab.evaluation.diagnosis import Flag
from alignlab.evaluation.measures import Estimate, Share
from alignlab.evaluation.summary import Figures, Summary
from alignlab.stages.files import atomic_write_json

SCHEMA = 1
"""Version of result.json; a reader refuses any other."""


def result(
    summary: Summary,
    *,
    flags: Sequence[Flag] = (),
    costs: Mapping[str, float] | None = None,
    budget: Mapping[str, Any] | None = None,
    conventions: Mapping[str, str] | None = None,
    fingerprints: Mapping[str, str] | None = None,
    run: Mapping[str, Any] | None = None,
    best_of: Mapping[str, Any] | None = None,
    frontier: Sequence[Mapping[str, float]] = (),
    posture: Mapping[str, Any] | None = None,
    sft_posture: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of result.json.

    `costs`: labels, sampled tokens, FLOPs, seconds, …; `budget`: axis, limit and what was used;
    `conventions`: what the method's name hides elsewhere;
    `fingerprints`: hashes of data, code, configuration; `run`: method, preset, seeds; `best_of`: gains of the best of
    n replies of SFT, by n; `frontier`: drift and scores of the policy mixed with SFT, by weight; `posture`: its judge,
    and counts of `evaluation.posture`; `sft_posture`: those of SFT; `about`: command, resolved settings, versions,
    equation, how KL is known.
    """
    return {
        "schema": SCHEMA,
        "run": dict(run or {}),
        "metrics": summary.metrics,
        "errors": _errors(summary.method.metrics),
        "missing": summary.missing,
        "wins": None if summary.wins is None else {"by": summary.win_by, **_share(summary.wins)},
        "strata": _strata(summary.method),
        "posture": {**_posture(summary.method), **(posture or {})},
        "change": {name: each._asdict() for name, each in summary.change.items()},
        "sft": None if summary.sft is None else _sft(summary.sft, sft_posture or {}),
        "flags": [flag._asdict() for flag in flags],
        "costs": dict(costs or {}),
        "budget": dict(budget or {}),
        "conventions": dict(conventions or {}),
        "fingerprints": dict(fingerprints or {}),
        "best_of": dict(best_of or {}),
        "frontier": [dict(point) for point in frontier],
        "about": dict(about or {}),
    }


def write_result(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write result.json in one atomic move: its presence says that the run is complete.

    Raises StoreError when a figure is not a finite number, naming the file.
    """
    try:
        atomic_write_json(Path(path), dict(content))
    except ValueError as error:
        raise StoreError(f"{path} cannot hold a number that is not finite: {error}", "report this run") from error


def read_result(path: str | Path) -> dict[str, Any]:
    """Read result.json; StoreError when it is absent, broken or of another version."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        version = content.get("schema")
    except (OSError, ValueError, AttributeError) as error:
        raise StoreError(f"{path} is no result of a finished run: {error}", "run it again") from error
    if version != SCHEMA:
        raise StoreError(
            f"{path} has schema version {version}, this version of alignlab reads {SCHEMA}",
            "run it again, or read it with the version that wrote it",
        )
    return dict(content)


def _errors(metrics: Mapping[str, Estimate]) -> dict[str, float]:
    return {name: each.error for name, each in metrics.items() if each.error is not None}


def _share(share: Share) -> dict[str, Any]:
    return share._asdict()


def _strata(figures: Figures) -> dict[str, Any]:
    return {kind: {name: each._asdict() for name, each in metrics.items()} for kind, metrics in figures.strata.items()}


def _posture(figures: Figures) -> dict[str, Any]:
    attacks = {
        name: {"seen": each.seen, "breach": each.breach._asdict(), "refusal": each.refusal._asdict()}
        for name, each in figures.attacks.items()
    }
    return {"attacks": attacks, "breach_at": {str(k): _share(each) for k, each in figures.breach_at.items()}}


def _sft(figures: Figures, posture: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "metrics": figures.values,
        "errors": _errors(figures.metrics),
        "strata": _strata(figures),
        "posture": {**_posture(figures), **posture},
    }
