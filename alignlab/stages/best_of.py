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
from alignlab.numerics.noise import Noise
from alignlab.rollout.texts import texts_of
from alignlab.stages.artefact import Artefact
from alignlab.stages.evaluated import Evaluator
from alignlab.stages.files import atomic_write_json
from alignlab.stages.store import Workspace
from alignlab.tracking.progress import track
from alignlab.work import Work, charge, counting

FILE = "curve.json"
REPLIES = 64
"""Replies to each request where the settings do not say."""
REQUESTS = 60


def curve(evaluator: Evaluator) -> Artefact | None:
    """The curve of this run's SFT policy, found or computed; None where it is not asked for.

    Unless the settings say otherwise it is drawn where the true score is known, and costs little.
    """
    graph, config = evaluator.graph, evaluator.config
    usual = REPLIES if graph.source.judge() is not None else 0
    replies = usual if config.best_of is None else config.best_of
    if not graph.scored or replies < 2 or not config.temperature:
        return None  # greedy replies are all the same
    fields: dict[str, Any] = {
        "policy": graph.sft.content,
        "scorers": {name: scorer.content for name, scorer in evaluator.scorers.items()},
        "data": graph.source_address("evaluation"),
        "seeds": graph.settings.seeds.key("evaluation"),
        "protocol": [config.split, replies, min(REQUESTS, config.prompts), config.temperature],
        **graph.sampling_fields(),
    }
    key = graph.key("best_of", fields, "alignlab.stages.best_of", "alignlab.compare.subsets")
    return graph.store.produce(key, lambda work: _build(evaluator, replies, work), label="best-of-n of SFT")


def read(artefact: Artefact | None) -> dict[str, Any]:
    """n -> KL bound, and the gain over one reply of each score; empty where there is no curve."""
    if artefact is None:
        return {}
    return dict(json.loads(artefact.file(FILE).read_text(encoding="utf-8")))


def _build(evaluator: Evaluator, replies: int, work: Workspace) -> Mapping[str, Any]:
    began, inference = time.perf_counter(), Work()
    prompts = evaluator.prompts()[0][:REQUESTS]
    with counting(inference):
        scores = _scores(evaluator, prompts, replies)
    charge(inference)
    counts = [n for n in (2**power for power in range(replies.bit_length())) if n <= replies]
    atomic_write_json(work.out / FILE, {str(n): _at(n, scores) for n in counts})
    return {"replies": replies, "seconds": round(time.perf_counter() - began, 1)}


def _at(n: int, scores: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, float]:
    """Gains (mean over requests) of the reply that the training reward model picks from n."""
    proxy = scores["proxy"]
    gains = {name: float(best_of(proxy, n, found).mean() - found.mean()) for name, found in scores.items()}
    return {"kl": best_of_n_kl(n), **gains}


@torch.no_grad()
def _scores(evaluator: Evaluator, prompts: Sequence[Prompt], replies: int) -> dict[str, np.ndarray[Any, Any]]:
    """(P, M) scores of M replies to each request, by the name of the score."""
    graph = evaluator.graph
    sampler = graph.sampler(graph.sft, evaluator.config.temperature)
    scorers = {name: graph.scorer(scorer) for name, scorer in evaluator.scorers.items()}
    rows = evaluator.rows(prompts)
    wanted = [(row, copy) for row in rows for copy in range(replies)]
    columns: dict[str, list[float]] = {}
    size, seed = graph.settings.rollout.batch_size, graph.settings.seeds.of("evaluation", FILE)
    for start in track(range(0, len(wanted), size), "best-of-n of SFT"):
        part = wanted[start : start + size]
        noise = Noise(seed, torch.tensor([row.row * replies + copy for row, copy in part]))
        sources = [row.source for row, _ in part]
        rollouts = sampler.sample(sources, [row.prompt.tolist() for row, _ in part], noise)
        for name, scorer in scorers.items():
            columns.setdefault(name, []).extend(over_rows(rollouts.sequences, scorer).tolist())
        texts, ended = texts_of(rollouts, graph.base.tokenizer), rollouts.ended.tolist()
        golds = [graph.source.gold(*each) for each in zip(sources, texts, ended, strict=True)]
        if all(gold is not None for gold in golds):
            columns.setdefault("gold", []).extend(golds)
    return {name: np.array(values).reshape(len(rows), replies) for name, values in columns.items()}
