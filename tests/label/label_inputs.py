"""Small finished runs and plain rows to label, and a browser to look with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from alignlab.data.schema import Message, Prompt
from alignlab.evaluation.record import Reply, Sample, write_samples
from alignlab.label.inputs import load
from alignlab.label.items import Plan, plan
from alignlab.label.session import Session
from alignlab.label.store import LabelFile

KINDS = ("benign", "lookalike", "harmful")


def prompt(number: int) -> Prompt:
    return Prompt(f"p{number}", (Message("user", f"question {number}"),), kind=KINDS[number % 3])


def run(
    folder: Path,
    name: str,
    *,
    seed: int = 0,
    beta: float = 0.1,
    count: int = 12,
    gold: float | None = 1.0,
    text: str = "",
) -> Path:
    """A run's folder as evaluation leaves it."""
    folder.mkdir(parents=True)
    samples = [
        Sample(
            text=f"{text or name} {beta} says {number} with seed {seed}",
            length=5,
            ended=number % 4 > 0,
            gold=gold,
            prompt=prompt(number),
            sft=Reply(text=f"start says {number}", length=4, ended=True),
        )
        for number in range(count)
    ]
    write_samples(folder / "samples.jsonl", samples)
    about = {"method": name, "name": name, "seed": seed}
    (folder / "result.json").write_text(json.dumps({"schema": 1, "run": about, "metrics": {}}))
    config = {"algo": {"name": name, "beta": beta}, "data": {"source": "desk"}, "seed": seed, "store": str(folder)}
    OmegaConf.save(OmegaConf.create({"config": config}), folder / "config.yaml")
    return folder


def rows(path: Path, content: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


def three(path: Path, count: int = 8) -> Path:
    """Requests with completions of three methods."""
    return rows(
        path,
        [
            {"prompt": f"question {n}", "completions": {m: f"{m} says {n}" for m in ("red", "green", "blue")}}
            for n in range(count)
        ],
    )


def planned(*paths: Path, count: int = 100, repeat: float = 0.0, seed: int = 0, rank: bool = False) -> Plan:
    inputs = load(paths)
    return plan(inputs.requests, inputs.methods, count=count, repeat=repeat, seed=seed, rank=rank)


def session(asked: Plan, path: Path, annotator: str = "ann") -> Session:
    return Session(asked, LabelFile(path), annotator)
