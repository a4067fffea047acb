"""`python -m alignlab plan algo=ppo`: which stages a run would compute, and which it finds in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rich import box
from rich.table import Table

from alignlab import registry
from alignlab.compose import composed
from alignlab.config import RunConfig, typed
from alignlab.data.schema import Split
from alignlab.method import Output, Reference, chain
from alignlab.rewards.config import trained_models
from alignlab.stages import best_of, interpolated
from alignlab.stages.artefact import Artefact
from alignlab.stages.attacked import Attacker
from alignlab.stages.evaluated import Evaluator
from alignlab.stages.graph import Graph
from alignlab.stages.key import StageKey
from alignlab.stages.store import Store, Workspace
from alignlab.tracking.console import results
from alignlab.tracking.progress import duration

Stage = tuple[str, Callable[[], Artefact | None]]
"""Its label, and what finds it."""


class NotComputed(Exception):
    """A stage is not in the store; a plan goes no further."""


class FindOnly(Store):
    """A store that looks and never computes."""

    computes = False

    def produce(self, key: StageKey, build: Callable[[Workspace], Mapping[str, Any] | None], *, label: str) -> Artefact:
        """The stored artefact, or NotComputed."""
        found = self.get(key)
        if found is None:
            raise NotComputed(label)
        return found


def plan(arguments: Sequence[str]) -> int:
    """Print the plan of a run. Returns the exit code."""
    settings = typed(composed(arguments))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"{settings.algo.name}, seed {settings.seed}")
    table.title_justify = "left"
    for column in ("stage", "plan", "took", "artefact"):
        table.add_column(column, no_wrap=True)
    for label, outcome in stages(settings):
        if isinstance(outcome, Artefact):
            table.add_row(label, "reuse", duration(float(outcome.info.get("seconds", 0))), outcome.name)
        else:
            table.add_row(label, "compute" if outcome == label else f"compute, after {outcome}", "", "")
    results.print(table)
    return 0


def stages(settings: RunConfig) -> list[tuple[str, Artefact | str]]:
    """Each stage of the run with its artefact, or with the label of the first stage that has to be computed."""
    graph = Graph(settings, quiet=True, store=FindOnly(settings.store))
    name = settings.algo.name
    wanted: list[Stage] = [("SFT", lambda: graph.sft)]
    if graph.labelled:
        wanted += [
            ("preferences", lambda: graph.preferences),
            ("reward model", graph.reward),
            ("reward model, held-out labels", lambda: graph.reward(Split.HELD_OUT)),
        ]
    for config in reversed([*chain(settings.algo)]):
        needs = config.needs(registry.method(config.method).needs)
        for member in range(1, trained_models(settings.reward) if "reward" in needs.scorers else 1):
            wanted.append((f"reward model, member {member + 1}", partial(graph.reward, member=member)))
        if "cost" in needs.scorers:
            wanted.append(("cost model", graph.cost))
        if needs.reference is Reference.LOGPS:
            wanted.append(("reference log-probs", partial(graph.reference_logps, needs.data)))
        if config is not settings.algo:
            wanted.append((config.name, partial(graph.inner, config)))
    wanted.append((f"{name}, seed {settings.seed}", lambda: graph.policy_of_method))
    if graph.method.output is Output.POLICY:
        wanted += _judged(graph)
    found = [(label, _outcome(find)) for label, find in wanted]
    return [(label, outcome) for label, outcome in found if outcome is not None]


def _judged(graph: Graph) -> list[Stage]:
    """What evaluation computes of the method and of SFT."""
    name, config = graph.settings.algo.name, graph.settings.evaluation
    evaluate, attack = Evaluator(graph, config), Attacker(graph, config)
    wanted: list[Stage] = [
        ("evaluation of SFT", lambda: evaluate(graph.sft, "SFT")),
        (f"evaluation of {name}", lambda: evaluate(graph.policy_of_method, name)),
    ]
    if attack:
        wanted.append(("posture of SFT", lambda: attack.of(graph.sft, "SFT")))
        wanted.append((f"posture of {name}", lambda: attack.of(graph.policy_of_method, name)))
    if best_of.copies_of(evaluate):
        wanted.append(("best-of-n of SFT", lambda: best_of.curve(evaluate)))
    if interpolated.requests_of(evaluate) and _mixes(graph):
        wanted.append((f"frontier of {name}", lambda: interpolated.frontier(evaluate, graph.policy_of_method, name)))
    return wanted


def _mixes(graph: Graph) -> bool:
    """Whether the method leaves a policy other than SFT, as far as that is known before it is trained."""
    return not graph.method.sampler and graph.settings.algo != graph.settings.stages.sft


def _outcome(find: Callable[[], Artefact | None]) -> Artefact | str | None:
    """The artefact, the label of what is missing, or None where the stage turns out to have nothing to do."""
    try:
        return find()
    except NotComputed as missing:
        return str(missing)
