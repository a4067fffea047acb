"""The posture of a model that no run of ours has trained: any causal language model, on published prompt sets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from omegaconf import DictConfig

from alignlab.compose import composed
from alignlab.config import RunConfig, typed
from alignlab.evaluation.report import View, show
from alignlab.evaluation.result import result, write_result
from alignlab.evaluation.summary import HARMFUL, summarise
from alignlab.launch.compared import PAGE, contents, write
from alignlab.models.load import check_location
from alignlab.run_folder import about, identity, posture, withheld, write_config, write_replies
from alignlab.stages.attacked import Attacker
from alignlab.stages.attacked import read as attacks_of
from alignlab.stages.evaluated import Evaluator, read
from alignlab.stages.files import disk_error
from alignlab.stages.graph import Graph
from alignlab.stages.key import StageKey, canonical
from alignlab.tracking.console import results, say

FIXED = ("model=hf", "data=promptsets", "algo=sft", "stages.sft=null", "overlap=false", "keep=none")
"""The model is what it is: nothing is trained. The method named is one that needs nothing."""
USUAL = ("evaluation=posture", "evaluation.attempts=16", "judge=phrases", "rollout.max_new_tokens=128")
"""What another setting may replace."""


def measure(model: str, sets: Mapping[str, str], overrides: Sequence[str], out: Path | None) -> Path:
    """Attack a model and judge what it says; returns the folder of the measurement, made as one of a run.

    The same request finds what was computed before in the store.
    """
    check_location(model)
    cfg: DictConfig = composed([*FIXED, *USUAL, *overrides])
    cfg.model.path = model
    cfg.data.sets = dict(sets)
    settings = typed(cfg)
    torch.set_num_threads(settings.trainer.threads or torch.get_num_threads())
    folder = out or _folder(model, settings)
    with disk_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    say(f"posture of {model} on {', '.join(sets)}; stages in {settings.store}")
    graph = Graph(settings)
    graph.base.check()
    attack = Attacker(graph, settings.evaluation)
    attack.check()
    _write(graph, attack, folder, _name(model), overrides)
    content = contents([folder], reveal=settings.evaluation.reveal)
    write(content, folder)
    say(f"page      {folder / PAGE}")
    return folder


def _write(graph: Graph, attack: Attacker, folder: Path, name: str, overrides: Sequence[str]) -> None:
    config = graph.settings.evaluation
    # The model is its own reference here: how far it is from it says nothing.
    evaluated = read(Evaluator(graph, config)(graph.sft, name))
    samples = [replace(sample, kl=None, k1=None, k3=None) for sample in evaluated]
    attacked = attacks_of(attack(graph.sft, name))
    summary = summarise(samples, attacks=attacked.attempts, seen=attack.seen)
    with disk_error(folder):
        write_replies(folder, samples, attacked)
        write_config(graph, folder, overrides)
        content = result(
            summary,
            run=identity(graph.settings) | {"name": name, "method": name},
            posture=posture(graph, samples, attacked),
            fingerprints={"policy": graph.sft.digest, "data": graph.source.fingerprint()},
            about=about(graph, overrides, samples) | {"summary": "a model as it is", "equation": "", "family": ""},
        )
        write_result(folder / "result.json", content)
    hidden = withheld(graph) if HARMFUL in {sample.prompt.kind for sample in samples} else ()
    show(
        summary,
        View(method=name, title=f"posture of {name}", samples=samples, count=config.show, withheld=hidden),
        results,
    )


def _name(model: str) -> str:
    """The last part of a path or id that says something."""
    path = Path(model)
    return (path.parent.name if path.name == "model" else path.resolve().name if path.exists() else path.name) or model


def _folder(model: str, settings: RunConfig) -> Path:
    """The same request finds its folder again."""
    key = StageKey("posture", {"model": model, "settings": canonical(asdict(settings))})
    return Path("runs") / "posture" / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', _name(model))}-{key.digest[:8]}"
