"""One run as a recipe: configuration → stages → method → evaluation → run directory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch

from alignlab.config import Keep, RunConfig
from alignlab.evaluation.summary import Summary
from alignlab.launch.background import overlapped
from alignlab.method import Output
from alignlab.run_folder import Outcome, identity, replay, reply_rows, write, write_scorer
from alignlab.stages.evaluated import Evaluator
from alignlab.stages.files import disk_error
from alignlab.stages.graph import Graph
from alignlab.stages.key import canonical
from alignlab.tracking.console import say
from alignlab.tracking.tracker import Tracker, open_tracker


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
    if graph.method.output is Output.SCORER:
        write_scorer(graph, folder, graph.policy_of_method, overrides)
        return None
    name = f"{settings.algo.name}-seed{settings.seed}"
    tracker = open_tracker(settings.tracking, folder, config=canonical(asdict(settings)), name=name, group=group)
    try:
        summary = _aligned(graph, folder, tracker, began, overrides)
    except BaseException:
        tracker.finish(failed=True)
        raise
    tracker.finish()
    return summary


def _aligned(graph: Graph, folder: Path, tracker: Tracker, began: float, overrides: Sequence[str]) -> Summary:
    settings, started = graph.settings, datetime.now(UTC).replace(microsecond=0)
    graph.tracker = tracker
    with overlapped(settings, folder / "background.log"):
        policy = graph.policy_of_method
        if policy.created < started:
            say(f"found in the store: {policy.label}")
            replay(policy.file("metrics.csv"), tracker)
        evaluate = Evaluator(graph, settings.evaluation)
        evaluated, baseline = evaluate(policy, settings.algo.name), evaluate(graph.sft, "SFT")
    outcome = Outcome(policy, evaluated, baseline, time.perf_counter() - began, overrides)
    summary = write(graph, folder, outcome)
    tracker.summary({**summary.metrics, **identity(settings)})
    tracker.table("replies", reply_rows(graph, evaluated, baseline))
    if settings.keep is Keep.none and policy.content != graph.sft.content:
        graph.store.discard(policy)
    return summary
