"""The curve of best-of-n of the SFT policy: expectations over subsets of one set of replies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import TINY

from alignlab.compose import composed
from alignlab.config import typed
from alignlab.stages import best_of
from alignlab.stages.evaluated import Evaluator
from alignlab.stages.graph import Graph


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    words = [*TINY, f"store={tmp_path_factory.mktemp('store')}", "algo=dpo", "evaluation.best_of=8"]
    graph = Graph(typed(composed(words)), quiet=True)
    return Evaluator(graph, graph.settings.evaluation)


def test_one_reply_gains_nothing_and_more_never_lower_the_score_that_chooses(evaluator: Evaluator) -> None:
    found = best_of.read(best_of.curve(evaluator))
    assert list(found) == ["1", "2", "4", "8"]
    assert all(abs(found["1"][name]) < 1e-9 for name in ("kl", "gold", "proxy", "judge_score"))
    proxies = [found[n]["proxy"] for n in found]
    assert proxies == sorted(proxies)
    assert proxies[-1] > 0
    assert found["8"]["kl"] == pytest.approx(np.log(8) - 7 / 8)
    assert best_of.curve(evaluator) is not None, "found again"
    json.dumps(found, allow_nan=False)


def test_expectations_are_those_of_drawn_subsets() -> None:
    draw = np.random.default_rng(0)
    scores = {"proxy": draw.normal(size=(3, 6)), "gold": draw.normal(size=(3, 6))}
    found = best_of._at(2, scores)
    total = 0.0
    for row in range(3):
        pairs = [(i, j) for i in range(6) for j in range(i)]
        total += np.mean([scores["gold"][row][max(pair, key=lambda k: scores["proxy"][row][k])] for pair in pairs])
    assert found["gold"] == pytest.approx(total / 3 - scores["gold"].mean())


def test_none_where_it_is_not_asked_for(evaluator: Evaluator, tmp_path: Path) -> None:
    settings = typed(composed([*TINY, f"store={tmp_path}", "algo=dpo", "evaluation.best_of=0"]))
    assert best_of.curve(Evaluator(evaluator.graph, settings.evaluation)) is None
    assert best_of.read(None) == {}
