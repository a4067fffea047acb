"""The frontier of one policy without training: samples of it mixed with its reference, token by token.

softmax[(1 - w) log ref + w log policy] is to first order the policy trained at a KL price of beta / w (DeRa, arXiv
2402.02992, eq. 8), so that its curve of gain against KL says what other prices would have bought. It is an
approximation and labelled as one: next-token distributions are mixed, not completions.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from alignlab.data.batch import over_rows
from alignlab.evaluation.measure_tokens import measure_tokens
from alignlab.rollout.mixture import MixtureEngine
from alignlab.rollout.sampler import PolicySampler
from alignlab.rollout.sampling import Sampling
from alignlab.stages.artefact import Artefact
from alignlab.stages.evaluated import Evaluator
from alignlab.stages.files import atomic_write_json
from alignlab.stages.replies import golds, replies, tokenised
from alignlab.stages.sampled import FILE as SAMPLER
from alignlab.stages.store import Workspace
from alignlab.work import Work, charge, counting

FILE = "frontier.json"
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
"""Weights of the policy: 0 is its reference, 1 itself, beyond 1 an extrapolation."""
REQUESTS = 100
"""Requests where the settings do not say."""


def requests_of(evaluator: Evaluator) -> int:
    """Requests that a frontier is drawn on; 0 where it is not asked for.

    Unless the settings say otherwise it is drawn where the true score is known, and costs little.
    """
    config = evaluator.config
    usual = REQUESTS if evaluator.graph.source.judge() is not None else 0
    count = min(usual if config.frontier is None else config.frontier, config.prompts)
    return count if count >= 2 and config.temperature == 1 else 0  # KL is an expectation at temperature 1


def frontier(evaluator: Evaluator, policy: Artefact, label: str) -> Artefact | None:
    """The frontier of a stored policy, found or computed; None where it is not asked for, or there is none to mix."""
    graph, config, count = evaluator.graph, evaluator.config, requests_of(evaluator)
    if not count or policy.has(SAMPLER) or policy.content == graph.sft.content:
        return None
    fields: dict[str, Any] = {
        "policy": policy.content,
        "reference": graph.sft.content,
        "protocol": [config.split, config.prompts, count, WEIGHTS],
        **evaluator.fields(),
    }
    key = graph.key("frontier", fields, "alignlab.stages.interpolated", "alignlab.rollout.mixture")
    return graph.store.produce(
        key, lambda work: _build(evaluator, policy, count, label, work), label=f"frontier of {label}"
    )


def read(artefact: Artefact | None) -> list[dict[str, float]]:
    """weight, kl and the mean of each score, by rising weight; empty where there is none."""
    return [] if artefact is None else list(json.loads(artefact.file(FILE).read_text(encoding="utf-8")))


def _build(evaluator: Evaluator, artefact: Artefact, count: int, label: str, work: Workspace) -> Mapping[str, Any]:
    began, inference = time.perf_counter(), Work()
    with counting(inference):
        points = _points(evaluator, artefact, count, label)
    charge(inference)
    atomic_write_json(work.out / FILE, points)
    return {"seconds": round(time.perf_counter() - began, 1)}


@torch.no_grad()
def _points(evaluator: Evaluator, artefact: Artefact, count: int, label: str) -> list[dict[str, float]]:
    graph, prompts = evaluator.graph, evaluator.prompts()[:count]
    policy, reference = graph.policy(artefact), graph.policy(graph.sft)
    scorers = {name: graph.scorer(scorer) for name, scorer in evaluator.scorers.items()}
    sampling = Sampling(max_new_tokens=graph.settings.rollout.max_new_tokens, temperature=1.0)
    rows, seed = tokenised(graph, prompts), graph.settings.seeds.of("evaluation", FILE)
    found = []
    for weight in WEIGHTS:
        engine = MixtureEngine(
            [reference, policy],
            [1 - weight, weight],
            sampling=sampling,
            end_ids=graph.base.end_ids,
            pad_id=graph.base.pad_id,
        )
        columns: dict[str, list[float]] = {}
        for batch in replies(graph, PolicySampler(engine, engine), rows, seed, f"{label} mixed with SFT, {weight:g}"):
            sequences = batch.rollouts.sequences
            drift = measure_tokens(engine.completion_logits, reference.completion_logits, sequences).kl.tolist()
            columns.setdefault("kl", []).extend(drift)
            for name, scorer in scorers.items():
                columns.setdefault(name, []).extend(over_rows(sequences, scorer).tolist())
            columns.setdefault("gold", []).extend(golds(graph, batch))
        found.append({"weight": weight, "requests": len(rows), **_means(columns)})
    return found


def _means(columns: Mapping[str, Sequence[float | None]]) -> dict[str, float]:
    return {
        name: float(np.mean([value for value in values if value is not None]))
        for name, values in columns.items()
        if all(value is not None for value in values)
    }
