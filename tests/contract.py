"""A method's training job on a tiny desk, for what every installed method must satisfy."""

from __future__ import annotations

from pathlib import Path

from support import TINY

from alignlab import registry
from alignlab.compose import composed
from alignlab.config import preset_values, typed
from alignlab.data.schema import Split
from alignlab.method import Data, OnlineConfig
from alignlab.stages.graph import Graph
from alignlab.stages.trained import Trained

SMALL = ("algo.batch_size=8", "algo.lr=1e-2")


def trained_methods() -> list[str]:
    """Methods with a module of their own or a shared one."""
    return [name for name, method in sorted(registry.methods().items()) if method.module]


def annotator_of(preset: str) -> tuple[str, ...]:
    """Methods that learn from revisions need somebody who revises."""
    revised = registry.method(registry.presets()[preset]).needs.data is Data.REVISIONS
    return ("annotator=rules",) if revised else ()


def job_of(preset: str, store: Path, *overrides: str, steps: int | None = None) -> tuple[Graph, Trained]:
    """The job of a preset over a store; `steps` says how many rollouts, where there are any."""
    method = registry.method(registry.presets()[preset])
    groups = annotator_of(preset)
    if issubclass(method.config, OnlineConfig):
        groups += ("algo.group_size=2", "algo.minibatches=1") if _grouped(preset) else ("algo.minibatches=1",)
        groups += ("algo.rollout_epochs=1", *(() if steps is None else (f"algo.steps={steps}",)))
    settings = typed(composed([f"algo={preset}", *TINY, *SMALL, *groups, f"store={store}", *overrides]))
    graph = Graph(settings, quiet=True)
    job = Trained(graph, graph.method, settings.algo, preset, settings.seeds, Split.TRAIN)
    return graph, job


def _grouped(preset: str) -> bool:
    return int(preset_values(preset).get("group_size", 1)) > 1
