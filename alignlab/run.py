"""One run as a recipe: configuration → stages → method → evaluation → run directory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from alignlab.config import RunConfig
from alignlab.evaluation.report import Summary
from alignlab.launch.background import overlapped
from alignlab.method import Output
from alignlab.run_folder import Outcome, write
from alignlab.stages.evaluated import Evaluator
from alignlab.stages.graph import Graph
from alignlab.tracking.console import say


def run(settings: RunConfig, folder: Path, *, overrides: Sequence[str] = ()) -> Summary | None:
    """Everything `algo` needs, then `algo`, then what came of it; returns the figures.

    A scorer has no completions to evaluate: its health is printed instead, and None returned.
    """
    began = time.perf_counter()
    torch.set_num_threads(settings.trainer.threads or 1)
    graph = Graph(settings)
    graph.base.check()
    folder.mkdir(parents=True, exist_ok=True)
    say(f"{settings.algo.name} on {settings.data.source}, seed {settings.seed}; stages in {settings.store}")
    if graph.method.output is Output.SCORER:
        return write(graph, folder, Outcome(graph.policy_of_method), began, overrides)
    with overlapped(settings, folder / "background.log"):
        policy = graph.policy_of_method
        evaluate = Evaluator(graph, settings.evaluation)
        evaluated, baseline = evaluate(policy, settings.algo.name), evaluate(graph.sft, "SFT")
    return write(graph, folder, Outcome(policy, evaluated, baseline), began, overrides)
