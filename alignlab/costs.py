"""What a run cost: its method's own work, and with it the recorded work of every stage that it depends on.

A stage counts whether it was computed or found in the store, and once however many others depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alignlab import registry
from alignlab.data.schema import Split
from alignlab.method import Data, MethodConfig, Reference, chain
from alignlab.rewards.config import trained_models
from alignlab.stages import annotated, rewards
from alignlab.stages.artefact import Artefact
from alignlab.stages.graph import Graph
from alignlab.stages.trained import Trained
from alignlab.work import Work

PAIRED = (Data.PAIRS, Data.SAFETY)


def costs(graph: Graph, own: Artefact, evaluated: Artefact | None = None) -> dict[str, float]:
    """Costs by name, see docs/budgets.md; `own` is what the run is about, `evaluated` its replies."""
    stages = {stage.digest: stage for stage in _parents(graph, graph.job)}
    stages.pop(own.digest, None)
    work = Work.recorded(own.info["work"])
    full = Work()
    for stage in (own, *stages.values()):
        full.add(Work.recorded(stage.info["work"]))
    seconds = float(own.info["seconds"])
    found = {
        "seconds": seconds,
        "seconds_with_stages": round(seconds + sum(float(stage.info["seconds"]) for stage in stages.values()), 1),
        **labels(graph),
        "steps": work.steps,
        "samples": work.samples,
        "sampled_tokens": work.sampled_tokens,
        "sampled_tokens_with_stages": full.sampled_tokens,
        "flops": work.flops,
        "flops_with_stages": full.flops,
        **{f"forward_tokens_{role}": tokens for role, tokens in work.forward_tokens.items() if tokens},
        **{f"backward_tokens_{role}": tokens for role, tokens in work.backward_tokens.items() if tokens},
        "peak_memory_bytes": work.peak_memory_bytes,
    }
    if evaluated is not None:
        found["inference_flops_per_reply"] = evaluated.info["inference_flops_per_reply"]
    return {name: float(value) for name, value in found.items()}


def labels(graph: Graph) -> dict[str, float]:
    """Judgements that the method's training rests on, and those that only judge it. One comparison is one label."""
    needs = [each.needs(registry.method(each.method).needs) for each in chain(graph.settings.algo)]
    harm = any("cost" in each.scorers or each.data is Data.SAFETY for each in needs)
    scored = any("reward" in each.scorers for each in needs) and trained_models(graph.settings.reward) > 0
    stored = any(each.data is Data.LABELS for each in needs) and not graph.labels_from_pairs
    pairs = scored or harm or any(each.data in (*PAIRED, Data.LABELS) for each in needs)
    count = 0
    if stored:
        count = len(graph.label_rows(Split.TRAIN))
    elif pairs:
        count = len(graph.stored_pairs(Split.TRAIN))
    return {
        "labels": count,
        **({"safety_labels": len(graph.safety_rows(Split.TRAIN))} if harm else {}),
        "labels_for_judging": len(graph.stored_pairs(Split.HELD_OUT)) if graph.scored else 0,
    }


def budget(graph: Graph, own: Artefact, counted: dict[str, float]) -> dict[str, Any]:
    """The axis on which runs are matched, its limit, and what of it was used."""
    config = graph.settings.budget
    used = own.info["spent"] if config.ends_training else counted["labels"]
    return {"axis": config.axis.value, "limit": config.count, "used": int(used)}


def _parents(graph: Graph, job: Trained) -> Iterator[Artefact]:
    """Every stage that a training, or a method that acts at inference, depends on; some of them several times."""
    if job.needs.sft:
        yield from _start(graph, job)
    yield from _rows(graph, job)
    yield from _references(graph, job)
    for part, member in _reward_models(graph, job):
        seeds = rewards.member_seeds(graph.settings.stage_seeds, member)
        yield from _trained(graph, graph.settings.stages.reward, graph.reward(part, member), seeds, part)
    if "cost" in job.needs.scorers:
        yield from _trained(graph, graph.settings.stages.cost, graph.cost(), graph.settings.stage_seeds)


def _rows(graph: Graph, job: Trained) -> Iterator[Artefact]:
    """What training rows are made of."""
    data = job.needs.data
    if data in PAIRED or (data is Data.LABELS and graph.labels_from_pairs):
        yield from _pairs(graph)
    if data is Data.REVISIONS:
        yield job.revisions


def _references(graph: Graph, job: Trained) -> Iterator[Artefact]:
    """The reference, or what is stored of it."""
    needs = job.needs
    if needs.reference is Reference.MODEL:
        yield from _sft(graph)
    if needs.reference is Reference.LOGPS:
        yield graph.reference_logps(needs.data)
        if needs.mismatched:
            yield graph.reference_logps(needs.data, mismatched=True)


def _reward_models(graph: Graph, job: Trained) -> Iterator[tuple[Split, int]]:
    """Part of the labels and member of each: those that the method reads, and the one that snapshots are chosen by."""
    if "reward" in job.needs.scorers:
        yield from ((Split.TRAIN, member) for member in range(trained_models(graph.settings.reward)))
    if job.select:
        yield Split.HELD_OUT, 0


def _start(graph: Graph, job: Trained) -> Iterator[Artefact]:
    inner = getattr(job.config, "policy", None) if job.needs.policy else None
    if inner is None:
        yield from _sft(graph)
    else:
        yield from _trained(graph, inner, job.start, job.seeds, job.part)


def _sft(graph: Graph) -> Iterator[Artefact]:
    config = graph.settings.stages.sft
    if config is None:
        yield graph.sft
    else:
        yield from _trained(graph, config, graph.sft, graph.settings.stage_seeds)


def _pairs(graph: Graph) -> Iterator[Artefact]:
    """Labelled pairs, and where they are samples, what they were sampled from."""
    if Data.PAIRS not in graph.source.native:
        yield from _sft(graph)
    yield from annotated.stages(graph)


def _trained(
    graph: Graph, config: MethodConfig, artefact: Artefact, seeds: Any, part: Split = Split.TRAIN
) -> Iterator[Artefact]:
    """A trained stage after everything that it depends on itself."""
    yield from _parents(graph, Trained(graph, registry.method(config.method), config, "", seeds, part))
    yield artefact
