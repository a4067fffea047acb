"""One run as a recipe: configuration → stages → method → evaluation → run directory."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch

from alignlab.config import Keep, RunConfig
from alignlab.evaluation.result import read_result
from alignlab.evaluation.summary import Summary
from alignlab.launch.background import overlapped
from alignlab.method import Output
from alignlab.run_folder import Outcome, identity, replay, reply_rows, write, write_scorer
from alignlab.stages import best_of, interpolated
from alignlab.stages.artefact import Artefact
from alignlab.stages.attacked import Attacker
from alignlab.stages.evaluated import Evaluator
from alignlab.stages.files import disk_error
from alignlab.stages.graph import Graph
from alignlab.stages.key import canonical
from alignlab.tracking.console import say
from alignlab.tracking.tracker import Silent, Tracker, open_tracker


def run(settings: RunConfig, folder: Path, *, overrides: Sequence[str] = (), group: str = "") -> Summary | None:
    """Everything `algo` needs, then `algo`, then what came of it; returns the figures.

    A method that trains a scorer has no completions to evaluate: its health is printed, and None returned.
    """
    began = time.perf_counter()
    torch.set_num_threads(settings.trainer.threads or 1)
    graph = Graph(settings)
    graph.base.check()
    with disk_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    say(f"{settings.algo.name} on {settings.data.source}, seed {settings.seed}; stages in {settings.store}")
    name = f"{settings.algo.name}-seed{settings.seed}"
    tracker = open_tracker(settings.tracking, folder, config=canonical(asdict(settings)), name=name, group=group)
    try:
        summary = None
        if graph.method.output is Output.SCORER:
            _scored(graph, folder, tracker, overrides)
        else:
            summary = _aligned(graph, folder, tracker, began, overrides)
    except BaseException:
        tracker.finish(failed=True)
        raise
    tracker.finish()
    return summary


class _Heard(Silent):
    """Passes on what a training logs, and knows whether there was one."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker, self.told = tracker, False

    def log(self, metrics: Mapping[str, float], samples: int) -> None:
        """Pass on."""
        self.told = True
        self.tracker.log(metrics, samples)


def _trained(graph: Graph, tracker: Tracker) -> Artefact:
    """What the run is about. A tracker hears of a training done before, or by another process, too."""
    began = datetime.now(UTC)
    graph.tracker = heard = _Heard(tracker)
    trained = graph.policy_of_method
    if trained.created < began:
        say(f"found in the store: {trained.label}")
    if not heard.told and trained.has("metrics.csv"):
        replay(trained.file("metrics.csv"), tracker)
    return trained


def _scored(graph: Graph, folder: Path, tracker: Tracker, overrides: Sequence[str]) -> None:
    scorer = _trained(graph, tracker)
    write_scorer(graph, folder, scorer, overrides)
    tracker.summary({**scorer.info.get("health", {}), **identity(graph.settings)})


def _aligned(graph: Graph, folder: Path, tracker: Tracker, began: float, overrides: Sequence[str]) -> Summary:
    settings = graph.settings
    attack = Attacker(graph, settings.evaluation)
    attack.check()
    with overlapped(settings, folder / "background.log"):
        policy = _trained(graph, tracker)
        evaluate = Evaluator(graph, settings.evaluation)
        evaluated, baseline = evaluate(policy, settings.algo.name), evaluate(graph.sft, "SFT")
        attacks = attack(policy, settings.algo.name), attack(graph.sft, "SFT")
        curve, mixed = best_of.curve(evaluate), interpolated.frontier(evaluate, policy, settings.algo.name)
    seconds = time.perf_counter() - began
    curves = best_of.read(curve), interpolated.read(mixed)
    outcome = Outcome(policy, evaluated, baseline, seconds, overrides, *curves, *attacks, attack.seen)
    summary = write(graph, folder, outcome)
    costs = read_result(folder / "result.json")["costs"]
    tracker.summary(
        {**summary.metrics, **{f"cost/{name}": value for name, value in costs.items()}, **identity(settings)}
    )
    tracker.table("replies", reply_rows(graph, evaluated, baseline))
    if settings.keep is Keep.none and policy.content != graph.sft.content:
        graph.store.discard(policy)
    return summary
