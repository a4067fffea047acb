"""The frontier of a policy by mixing it with its reference."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import TINY

from alignlab.compose import composed
from alignlab.config import typed
from alignlab.stages import interpolated
from alignlab.stages.evaluated import Evaluator
from alignlab.stages.graph import Graph
from alignlab.stages.replies import golds, replies, tokenised


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    words = [*TINY, f"store={tmp_path_factory.mktemp('store')}", "algo=dpo", "algo.lr=1e-2", "evaluation.frontier=20"]
    graph = Graph(typed(composed([*words, "algo.batch_size=16"])), quiet=True)
    return Evaluator(graph, graph.settings.evaluation)


def test_it_runs_from_the_reference_through_the_policy_and_beyond(evaluator: Evaluator) -> None:
    graph = evaluator.graph
    found = interpolated.read(interpolated.frontier(evaluator, graph.policy_of_method, "dpo"))
    assert [point["weight"] for point in found] == list(interpolated.WEIGHTS)
    assert found[0]["kl"] == pytest.approx(0.0, abs=1e-6), "weight 0 is the reference"
    drift = [point["kl"] for point in found]
    assert drift == sorted(drift)
    assert drift[-1] > drift[-2] > 0.01
    assert all({"gold", "proxy", "judge_score"} <= set(point) for point in found)


def test_weight_one_is_the_policy(evaluator: Evaluator) -> None:
    """The same random numbers give the same replies as the policy alone, and so the same true scores."""
    graph = evaluator.graph
    found = interpolated.read(interpolated.frontier(evaluator, graph.policy_of_method, "dpo"))
    sampler = graph.sampler(graph.policy_of_method, 1.0)
    seed = graph.settings.seeds.of("evaluation", interpolated.FILE)
    rows = tokenised(graph, evaluator.prompts()[:20])
    scores = [score for batch in replies(graph, sampler, rows, seed, "") for score in golds(graph, batch)]
    [one] = [point for point in found if point["weight"] == 1]
    assert one["gold"] == pytest.approx(sum(scores) / len(scores))


def test_none_where_there_is_nothing_to_mix(evaluator: Evaluator) -> None:
    graph = evaluator.graph
    off = Evaluator(graph, replace(evaluator.config, frontier=0))
    assert interpolated.frontier(off, graph.policy_of_method, "dpo") is None
    assert interpolated.frontier(evaluator, graph.sft, "SFT") is None, "the reference itself"
    assert interpolated.read(None) == []
