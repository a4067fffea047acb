"""What a run is charged with: its own work, and that of each stage it depends on, once, however it came by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from contract import SMALL
from support import TINY

from alignlab import costs
from alignlab.compose import composed
from alignlab.config import typed
from alignlab.data.schema import Split
from alignlab.stages.artefact import Artefact
from alignlab.stages.evaluated import Evaluator
from alignlab.stages.graph import Graph


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store: what one test has computed, others find."""
    return tmp_path_factory.mktemp("store")


def graph_of(store: Path, *words: str) -> Graph:
    return Graph(typed(composed([*TINY, f"store={store}", *words])), quiet=True)


def charged(graph: Graph, *stages: Artefact) -> None:
    """Costs with stages are the sums over exactly these and the method's own."""
    own = graph.policy_of_method
    found = costs.costs(graph, own)
    every = [own, *stages]
    assert len({stage.digest for stage in every}) == len(every)
    for name in ("flops", "sampled_tokens"):
        assert found[f"{name}_with_stages"] == sum(stage.info["work"][name] for stage in every)
        assert found[name] == own.info["work"][name]
    assert found["seconds_with_stages"] == pytest.approx(sum(stage.info["seconds"] for stage in every), abs=0.1)
    assert all(type(value) is float for value in found.values())


def test_cached_reference_is_charged_once(store: Path) -> None:
    graph = graph_of(store, "algo=dpo", *SMALL)
    reference = graph.reference_logps()
    rows = graph.pair_rows(Split.TRAIN)
    tokens = sum(2 * len(row.prompt) + len(row.chosen) + len(row.rejected) for row in rows)
    assert reference.info["work"]["forward_tokens"] == {"reference": tokens}
    assert reference.info["work"]["backward_tokens"] == {}
    charged(graph, graph.sft, graph.preferences, reference)
    found = costs.costs(graph, graph.policy_of_method)
    assert (found["forward_tokens_policy"], found["backward_tokens_policy"]) == (tokens, tokens)
    assert found["labels"] == found["samples"] == len(rows)
    sft, pairs = (stage.info["work"] for stage in (graph.sft, graph.preferences))
    size = sft["parameters"]["policy"]
    assert sft["flops"] == 6 * size * sft["backward_tokens"]["policy"] > 0
    assert pairs["flops"] == 2 * size * pairs["forward_tokens"]["policy"]
    assert pairs["sampled_tokens"] > 0
    assert reference.info["work"]["flops"] == 2 * size * tokens


def test_a_method_on_another_is_charged_with_both(store: Path) -> None:
    graph = graph_of(store, "algo=dera", "algo@algo.policy=dpo", "algo.policy.batch_size=8")
    inner = graph.inner(graph.settings.algo.policy)
    charged(graph, graph.sft, graph.preferences, graph.reference_logps(), inner)


def test_mismatched_labels_are_charged(store: Path) -> None:
    graph = graph_of(store, "algo=kto", *SMALL)
    view = graph.job.needs.data
    stored = [graph.reference_logps(view), graph.reference_logps(view, mismatched=True)]
    charged(graph, graph.sft, graph.preferences, *stored)


def test_pairs_to_be_judged_and_revisions_are_charged(store: Path) -> None:
    judged = graph_of(store, "algo=dpo", "annotator=rules", *SMALL)
    stages = costs.annotated.stages(judged)
    assert [stage.kind for stage in stages] == ["candidates", "preferences"]
    assert stages[0].info["work"]["sampled_tokens"] > 0
    charged(judged, judged.sft, *stages, judged.reference_logps())
    revised = graph_of(store, "algo=constitutional", "annotator=rules", *SMALL)
    revisions = revised.job.revisions
    assert revisions.info["work"]["sampled_tokens"] > 0
    charged(revised, revised.sft, revisions)
    assert costs.costs(revised, revised.policy_of_method)["labels"] == 0


def test_a_reward_model_is_charged_with_its_zero_and_not_with_its_checks(store: Path) -> None:
    graph = graph_of(store, "algo=best_of_n", "algo.n=3")
    charged(graph, graph.sft, graph.preferences, graph.reward())
    work, rows = graph.reward().info["work"], graph.pair_rows(Split.TRAIN)
    trained = sum(2 * len(row.prompt) + len(row.chosen) + len(row.rejected) for row in rows)
    assert work["backward_tokens"] == {"reward": trained}
    calibration = work["forward_tokens"]["policy"]  # samples of SFT, read once to sample and once to score
    assert work["forward_tokens"]["reward"] == trained + calibration


def test_inference_is_charged_by_the_reply(store: Path) -> None:
    found: list[Any] = []
    for words in (("algo=best_of_n", "algo.n=1"), ("algo=best_of_n", "algo.n=4")):
        graph = graph_of(store, *words)
        policy = graph.policy_of_method
        evaluated = Evaluator(graph, graph.settings.evaluation)(policy, "best_of_n")
        found.append(costs.costs(graph, policy, evaluated))
    sole, four = (each["inference_flops_per_reply"] for each in found)
    assert 3.5 * sole < four < 4.5 * sole
    assert [each["flops"] for each in found] == [0, 0]


def test_the_budget_says_what_was_used(store: Path) -> None:
    for words, used in ((("budget.limit=40",), 40), (("budget=steps", "budget.limit=9"), 9)):
        graph = graph_of(store, "algo=dpo", *SMALL, *words)
        policy = graph.policy_of_method
        found = costs.costs(graph, policy)
        told = costs.budget(graph, policy, found)
        assert told == {"axis": graph.settings.budget.axis.value, "limit": used, "used": used}
    assert found["steps"] == 9
    free = graph_of(store, "algo=dpo", *SMALL)
    told = costs.budget(free, free.policy_of_method, costs.costs(free, free.policy_of_method))
    assert told == {"axis": "labels", "limit": None, "used": len(free.stored_pairs(Split.TRAIN))}
