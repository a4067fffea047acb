"""Folders of finished runs as a sweep leaves them, with figures that a test chooses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROMPTS = 30


def write_run(
    folder: Path,
    name: str,
    seed: int,
    gold: float,
    *,
    kl: float = 1.0,
    settings: dict[str, Any] | None = None,
    start: float = 0.1,
    lengths: int = 10,
    **more: Any,
) -> Path:
    """One run whose every reply scores `gold`, a little more or less by the request, and whose SFT scored `start`."""
    folder.mkdir(parents=True, exist_ok=True)
    shift = [0.01 * (place % 7 - 3) for place in range(PROMPTS)]
    algo = {"name": name, "method": name, "beta": 0.1, "lr": 1e-4, **(settings or {})}
    metrics = {"gold": gold, "proxy": 2 * gold, "kl": kl, "length": float(lengths), "refusal_lookalike": 0.1}
    content = {
        "schema": 1,
        "run": {"method": name, "name": name, "data": "desk", "seed": seed, "stage_seed": seed},
        "metrics": {f"eval/{key}": value for key, value in metrics.items()},
        "sft": {"metrics": {"eval/gold": start, "eval/proxy": 2 * start, "eval/kl": 0.0}},
        "strata": {"benign": {"gold": {"mean": gold, "error": 0.1}}},
        "posture": {"attacks": {"code": {"seen": False, "breach": {"mean": 0.5}}}, "breach_at": {"1": {"value": 0.2}}},
        "costs": {"seconds_with_stages": 10.0 + seed},
        "flags": [{"name": "length", "text": "Replies grew."}] if seed == 0 else [],
        "conventions": {"reduction": "mean"},
        "fingerprints": {"sft": f"sft{seed}", "data": "d"},
        "about": {
            "kl_known": "exact",
            "command": f"python -m alignlab algo={name} seed={seed}",
            "settings": {"algo": algo, "data": {"pairs": 100}, "seed": seed, "stage_seed": seed, "store": str(folder)},
        },
        **more,
    }
    (folder / "result.json").write_text(json.dumps(content))
    scores = {
        "schema": 1,
        "prompt": [f"p{place}" for place in range(PROMPTS)],
        "attempt": [0] * PROMPTS,
        "kind": ["benign"] * PROMPTS,
        "own": {"gold": [gold + each for each in shift], "length": [lengths + place % 3 for place in range(PROMPTS)]},
        "sft": {"gold": [start - each for each in shift], "length": [10 + place % 2 for place in range(PROMPTS)]},
    }
    (folder / "scores.json").write_text(json.dumps(scores))
    prompts = [{"id": f"p{place}", "messages": [["user", f"request {place}"]], "kind": "benign"} for place in range(4)]
    samples = [
        {"prompt": prompt, "attempt": 0, "text": f"{name} says", "gold": gold, "length": 3, "sft": {"text": "sft says"}}
        for prompt in prompts
    ]
    (folder / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return folder


def change(folder: Path, changes: Mapping[str, Any]) -> None:
    """Replace values of a run's result.json by their path, as in `metrics.eval/gold`."""
    path = folder / "result.json"
    content = json.loads(path.read_text())
    for name, value in changes.items():
        *groups, last = name.split(".")
        node = content
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = value
    path.write_text(json.dumps(content))


def write_sweep(folder: Path, jobs: Sequence[tuple[str, int]]) -> None:
    """The file that says which runs a sweep has."""
    listed = [
        {
            "number": place,
            "folder": f"{place}-{name}-seed{seed}",
            "name": name,
            "seed": seed,
            "overrides": [f"algo={name}"],
        }
        for place, (name, seed) in enumerate(jobs)
    ]
    content = {"schema": 1, "command": "python -m alignlab -m algo=a,b", "notes": [], "jobs": listed}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps(content))
