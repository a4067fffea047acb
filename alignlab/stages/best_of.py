"""What picking the best of n replies of the SFT policy is worth: the curve every trained policy is held against.

Best-of-n by the reward model is close to the best trade of reward against KL (arXiv 2401.01879), so that its curve is
the frontier of a comparison. Expectations are over all subsets of the replies that were drawn, not over a few.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from alignlab.compare.overoptimisation import best_of_n_kl
from alignlab.compare.subsets import best_of
from alignlab.data.batch import over_rows
from alignlab.data.schema import Prompt
from alignlab.stages.artefact import Artefact
from alignlab.stages.evaluated import Evaluator
from alignlab.stages.files import atomic_write_json
from alignlab.stages.replies import golds, replies, tokenised
from alignlab.stages.store import Workspace
from alignlab.work import Work, charge, counting

FILE = "curve.json"
REPLIES = 64
"""Replies to each request where the settings do not say."""
REQUESTS = 60


def copies_of(evaluator: Evaluator) -> int:
    """Replies to each request that the curve takes; 0 where it is not asked for.

    Unless the settings say otherwise it is drawn where the true score is known, and costs little.
    """
    graph, config = evaluator.graph, evaluator.config
    usual = REPLIES if graph.source.judge() is not None else 0
    copies = usual if config.best_of is None else config.best_of
    return copies if graph.scored and copies >= 2 and config.temperature else 0  # greedy replies are all the same


def curve(evaluator: Evaluator) -> Artefact | None:
    """The curve of this run's SFT policy, found or computed; None where it is not asked for."""
    graph, config, copies = evaluator.graph, evaluator.config, copies_of(evaluator)
    if not copies:
        return None
    fields: dict[str, Any] = {
        "policy": graph.sft.content,
        "protocol": [config.split, config.prompts, copies, REQUESTS, config.temperature],
        **evaluator.fields(),
    }
    key = graph.key("best_of", fields, "alignlab.stages.best_of", "alignlab.compare.subsets")
    return graph.store.produce(key, lambda work: _build(evaluator, copies, work), label="best-of-n of SFT")


def read(artefact: Artefact | None) -> dict[str, Any]:
    """n -> KL bound, and the gain over one reply of each score; empty where there is no curve."""
    if artefact is None:
        return {}
    return dict(json.loads(artefact.file(FILE).read_text(encoding="utf-8")))


def _build(evaluator: Evaluator, copies: int, work: Workspace) -> Mapping[str, Any]:
    began, inference = time.perf_counter(), Work()
    prompts = evaluator.prompts()[:REQUESTS]
    with counting(inference):
        scores = _scores(evaluator, prompts, copies)
    charge(inference)
    counts = [n for n in (2**power for power in range(copies.bit_length())) if n <= copies]
    atomic_write_json(work.out / FILE, {str(n): _at(n, scores) for n in counts})
    return {"replies": copies, "seconds": round(time.perf_counter() - began, 1)}


def _at(n: int, scores: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, float]:
    """Gains (mean over requests) of the reply that the training reward model picks from n."""
    proxy = scores["proxy"]
    gains = {name: float(best_of(proxy, n, found).mean() - found.mean()) for name, found in scores.items()}
    return {"kl": best_of_n_kl(n), **gains}


@torch.no_grad()
def _scores(evaluator: Evaluator, prompts: Sequence[Prompt], copies: int) -> dict[str, np.ndarray[Any, Any]]:
    """(P, M) scores of M replies to each request, by the name of the score."""
    graph = evaluator.graph
    sampler = graph.sampler(graph.sft, evaluator.config.temperature)
    scorers = {name: graph.scorer(scorer) for name, scorer in evaluator.scorers.items()}
    rows, columns = tokenised(graph, prompts), dict[str, list[float]]()
    seed = graph.settings.seeds.of("evaluation", FILE)
    for batch in replies(graph, sampler, rows, seed, "best-of-n of SFT", copies=copies):
        for name, scorer in scorers.items():
            columns.setdefault(name, []).extend(over_rows(batch.rollouts.sequences, scorer).tolist())
        found = golds(graph, batch)
        if all(gold is not None for gold in found):
            columns.setdefault("gold", []).extend(found)
    return {name: np.array(values).reshape(len(rows), copies) for name, values in columns.items()}
