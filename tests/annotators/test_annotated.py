"""The stage that asks an annotator: both orders averaged, ties, clamps, health; and what enters its address."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import TINY

from alignlab.annotators.feedback import Comparison
from alignlab.compose import composed
from alignlab.config import RunConfig, typed
from alignlab.data.rows import read_pairs
from alignlab.data.schema import Completion, Pair, Prompt, Safety, Split
from alignlab.errors import ConfigError, DataError
from alignlab.method import Data
from alignlab.seeding import Seeds
from alignlab.stages import annotated
from alignlab.stages.graph import Graph

PROMPT = Prompt(id="p", text="x")
END = {9}


def settings(*overrides: str) -> RunConfig:
    return typed(composed([*TINY, *overrides]))


def pairs(count: int) -> list[Pair]:
    return [Pair(PROMPT, Completion(f"{i}", (1, 9)), Completion(f"{-i}", (2, 3))) for i in range(count)]


class Biased:
    """Log-odds: the number a completion says, scaled, and a bias for the place in which it is shown."""

    def __init__(self, bias: float, mute: str = "") -> None:
        self.bias, self.mute, self.asked = bias, mute, list[Comparison]()

    def judge(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        self.asked += comparisons
        return [self._said(int(c.first) - int(c.second), self.mute in (c.first, c.second)) for c in comparisons]

    def _said(self, gap: int, mute: bool) -> float | None:
        return None if mute else sigmoid(0.1 * gap + self.bias)


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def test_both_orders_are_asked_and_averaging_cancels_a_bias_for_the_place() -> None:
    asked = Biased(bias=1.3)
    forward = annotated.judge(asked, pairs(40), 3, END, Seeds(0), Split.TRAIN)
    other_way = [Pair(p.prompt, p.rejected, p.chosen) for p in pairs(40)]
    back = annotated.judge(Biased(bias=1.3), other_way, 3, END, Seeds(0), Split.TRAIN)
    shown = [(c.first, c.second, c.ended) for c in asked.asked[2:4]]
    assert shown == [("1", "-1", (True, False)), ("-1", "1", (False, True))]
    for i, (one, other) in enumerate(zip(forward, back, strict=True)):
        assert one.probability == pytest.approx(1 - other.probability)
        assert one.probability == pytest.approx((sigmoid(0.2 * i + 1.3) + sigmoid(0.2 * i - 1.3)) / 2)
    assert forward[0].probability == pytest.approx(0.5)


def test_the_bias_is_a_health_figure() -> None:
    same = [Pair(PROMPT, Completion("1"), Completion("1"))] * 4
    figures = annotated.health(annotated.judge(Biased(math.log(3)), same, 1, END, Seeds(0), Split.TRAIN))
    assert figures == pytest.approx({"position_bias": 0.25, "inconsistent": 1.0, "confidence": 0.5})
    fair = annotated.health(annotated.judge(Biased(0.0), pairs(5)[1:], 1, END, Seeds(0), Split.TRAIN))
    assert fair["position_bias"] == pytest.approx(0.0)
    assert fair["inconsistent"] == 0.0


def test_each_row_draws_one_principle_from_the_labels_stream_for_both_orders() -> None:
    def drawn(seeds: Seeds) -> list[int]:
        asked = Biased(0.0)
        annotated.judge(asked, pairs(400), 4, END, seeds, Split.TRAIN)
        assert [c.principle for c in asked.asked[::2]] == [c.principle for c in asked.asked[1::2]]
        assert [c.seed for c in asked.asked[::2]] == [c.seed for c in asked.asked[1::2]]
        return [c.principle for c in asked.asked[::2]]

    first = drawn(Seeds(0))
    assert first == drawn(Seeds(0)) == drawn(Seeds(5, {"labels": 0}))
    assert first != drawn(Seeds(0, {"labels": 1}))
    assert all(abs(first.count(number) - 100) < 5 * math.sqrt(400 * 0.25 * 0.75) for number in range(4))


def judged(forward: float, backward: float, seed: int = 0, **of_pair: Any) -> annotated.Judged:
    pair = Pair(PROMPT, Completion("a"), Completion("b"), **of_pair)
    return annotated.Judged(pair, 0, seed, forward, backward)


@pytest.mark.parametrize(
    ("forward", "backward", "most", "chosen", "stated"),
    [
        (0.9, 0.3, 1.0, "a", 0.8),
        (0.1, 0.7, 1.0, "b", 0.8),
        (1.0, 0.0, 1.0, "a", None),
        (1.0, 0.0, 0.6, "a", 0.6),
        (0.0, 1.0, 0.6, "b", 0.6),
        (0.55, 0.45, 0.6, "a", 0.55),
    ],
)
def test_labels_keep_their_probability_up_to_the_clamp(
    forward: float, backward: float, most: float, chosen: str, stated: float | None
) -> None:
    pair = annotated.label(judged(forward, backward), most)
    assert pair.chosen.text == chosen
    assert pair.probability == (None if stated is None else pytest.approx(stated))


def test_ties_go_by_the_seed_of_the_row_and_old_labels_leave_no_trace() -> None:
    sides = [annotated.label(judged(0.5, 0.5, seed, margin=2.0), 1.0) for seed in (0, 1)]
    assert {pair.chosen.text for pair in sides} == {"a", "b"}
    assert [(pair.probability, pair.margin) for pair in sides] == [(0.5, None)] * 2


def test_harm_labels_follow_their_completions() -> None:
    safety = Safety((True, False), 0)
    assert annotated.label(judged(0.9, 0.1, safety=safety), 1.0).safety == safety
    assert annotated.label(judged(0.1, 0.9, safety=safety), 1.0).safety == Safety((False, True), 1)


def test_pairs_without_a_usable_answer_are_left_out() -> None:
    done = annotated.judge(Biased(0.0, mute="3"), pairs(6), 1, END, Seeds(0), Split.TRAIN)
    assert [one.pair.chosen.text for one in done] == ["0", "1", "2", "4", "5"]


def fields_of(config: RunConfig, name: str) -> dict[str, Any]:
    """The fields of the key that a stage is asked for by, over a given SFT policy."""
    graph, asked = Graph(config, quiet=True), []
    graph.__dict__["sft"] = SimpleNamespace(content="sft")

    def produce(key: Any, build: Any, *, label: str) -> Any:
        asked.append(key)
        return SimpleNamespace(content=key.kind)

    graph.store = SimpleNamespace(produce=produce)
    getattr(graph, name)
    return dict(asked[-1].fields)


def test_the_default_asks_the_source_and_no_key_knows_of_annotators() -> None:
    fields = fields_of(settings(), "preferences")
    assert set(fields) == {
        "data", "native", "policy", "seeds", "rollout", "load", "end_ids", "template", "limits", "engine_code",
        "libraries", "code",
    }  # fmt: skip
    assert not [name for name in fields["code"] if "annot" in name and "desk" not in name]


def test_settings_code_and_model_of_the_annotator_enter_the_key(tmp_path: Path) -> None:
    base = fields_of(settings("annotator=rules"), "preferences")
    assert base["candidates"] == "candidates"
    assert base["annotator"]["settings"]["accuracy"] == 0.9
    assert "alignlab.worlds.desk.gold" in base["annotator"]["code"]
    assert base != fields_of(settings("annotator=rules", "annotator.accuracy=0.8"), "preferences")
    assert base != fields_of(settings("annotator=rules", "annotator.max_probability=0.6"), "preferences")
    own = fields_of(settings("annotator=policy"), "preferences")["annotator"]
    assert own["policy"] == "sft"
    assert "temperature" not in own["settings"]  # of revisions, not of labels


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["annotator=policy", "annotator.principles=[]"], "annotator.principles is empty"),
        (["annotator=policy", "annotator.principles=[1]"], r"annotator.principles\[0\]=1 is no text"),
        (["annotator=policy", "annotator.answers=[A,A]"], "are not two different answers"),
        (["annotator=policy", "annotator.question=which"], "annotator.question shows no first"),
        (["annotator=policy", "annotator.critique='{reply} {x}'"], r"annotator.critique has \{x\}"),
        (["annotator=policy", "annotator.max_probability=0.5"], r"annotator.max_probability must lie in \(0.5, 1\]"),
        (["annotator=model"], "annotator.path has no value"),
        (["annotator=endpoint", "annotator.model=m", "annotator.base_url=ftp://x"], "is no HTTP address"),
        (["annotator=rules", "annotator.accuracy=0.4"], r"annotator.accuracy must lie in \[0.5, 1\]"),
        (["annotator=rules", "annotator.principles=[be good]"], r"annotator.principles\[0\] weighs nothing"),
        (["annotator=rules", "annotator.principles=[{text: x, weights: {kind: 1}}]"], "weights.kind is no check"),
        (["annotator.kind=rules"], "annotator.kind=rules does not fit"),
        (["annotator=nobody"], "annotator=nobody"),
    ],
)
def test_settings_that_cannot_work_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(*overrides)


def test_a_constitution_is_chosen_by_name() -> None:
    assert "weights" in settings("annotator=rules").annotator.principles[0]
    general = settings("annotator=policy").annotator
    assert general.texts == general.principles
    assert len(general.texts) > 5


def test_rules_are_those_of_the_desk_world(tmp_path: Path) -> None:
    rows = [json.dumps({"prompt": f"say {i}", "chosen": "b", "rejected": "c"}) for i in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    with pytest.raises(ConfigError, match="annotator=rules reads the rules of the desk world"):
        Graph(settings_of_files(tmp_path, "annotator=rules"), quiet=True)


def settings_of_files(folder: Path, *overrides: str) -> RunConfig:
    tiny = [each for each in TINY if not each.startswith(("data.", "model."))]
    given = [f"data.path={folder}/rows.jsonl", "data=files", "model=hf", "model.path=x"]
    return typed(composed([*tiny, *given, *overrides]))


def test_without_pairs_an_annotator_is_what_gives_labels(tmp_path: Path) -> None:
    rows = [json.dumps({"prompt": f"say {i}", "completion": "well"}) for i in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    with pytest.raises(DataError, match="annotator=policy"):
        Graph(settings_of_files(tmp_path, "algo=dpo"), quiet=True)
    graph = Graph(settings_of_files(tmp_path, "algo=dpo", "annotator=policy"), quiet=True)
    assert graph.labelled
    assert Data.PAIRS not in graph.source.native


def test_labels_of_the_desk_world_by_rules(tmp_path: Path) -> None:
    exact = ("annotator=rules", "annotator.accuracy=1", "annotator.position_bias=1", f"store={tmp_path}")
    graph = Graph(settings(*exact), quiet=True)
    stage = graph.preferences
    health = stage.info["health"]
    assert set(health) == {"position_bias", "inconsistent", "confidence", "gold_accuracy"}
    assert 0.0 < health["position_bias"] <= sigmoid(1) - 0.5 + 1e-9
    assert health["gold_accuracy"] > 0.5
    for split in (Split.TRAIN, Split.HELD_OUT):
        stored = read_pairs(stage.file(f"{split.value}.jsonl"))
        told = [json.loads(line) for line in stage.file(f"{split.value}.annotations.jsonl").read_text().splitlines()]
        assert len(stored) == len(told) == stage.info["pairs"][split.value]
        assert {row["principle"] for row in told} == set(graph.settings.annotator.texts)
        for pair, row in zip(stored, told, strict=True):
            p = (row["forward"] + 1 - row["backward"]) / 2
            assert (pair.probability or 1.0) == pytest.approx(max(p, 1 - p))
    other = Graph(settings(*exact, "annotator.accuracy=0.7"), quiet=True)
    assert other.preferences.content != stage.content
    assert len([found for found in other.store if found.digest and found.path.name.startswith("candidates")]) == 1
