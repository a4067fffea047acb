"""The cost model as a stage: trained where it is needed, on what the data says of harm, with a zero of its own."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small import llama
from support import TINY

from alignlab.compose import composed
from alignlab.config import RunConfig, typed
from alignlab.data.schema import Completion, Pair, Prompt, Safety, Split
from alignlab.errors import ConfigError, DataError
from alignlab.launch import plan
from alignlab.run import run
from alignlab.stages import cost, scoring
from alignlab.stages.graph import Graph
from alignlab.worlds.desk.tokenizer import build


def settings(*overrides: str) -> RunConfig:
    return typed(composed([*TINY, *overrides]))


@pytest.mark.parametrize(("algo", "needed"), [("ppo", False), ("dpo", False), ("ppo_lag", True)])
def test_a_plan_has_the_stage_only_for_methods_that_need_it(algo: str, needed: bool, tmp_path: Path) -> None:
    labels = [label for label, _ in plan.stages(settings(f"algo={algo}", f"store={tmp_path}"))]
    assert ("cost model" in labels) is needed


def test_the_role_takes_what_learns_from_safety_labels() -> None:
    message = "stages.cost.method=reward_model learns no safety labels"
    with pytest.raises(ConfigError, match=re.escape(message)):
        settings("algo=ppo_lag", "algo@stages.cost=reward_model")


@pytest.mark.slow
def test_a_run_under_a_constraint(tmp_path: Path) -> None:
    own = ["batch_size=16", "steps=3", "minibatches=1", "threshold=-0.5", "cost_window=2"]
    config = settings("algo=ppo_lag", *(f"algo.{each}" for each in own), f"store={tmp_path / 'store'}")
    run(config, tmp_path / "run")
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    log_multiplier = 0.0
    for number, row in enumerate(rows):
        recent = [float(each["train/cost"]) for each in rows[max(0, number - 1) : number + 1]]
        assert float(row["train/mean_cost"]) == pytest.approx(sum(recent) / len(recent), abs=1e-6)
        log_multiplier += 0.1 * torch.tensor(log_multiplier).exp().item() * (float(row["train/mean_cost"]) + 0.5)
        assert float(row["train/multiplier"]) == pytest.approx(torch.tensor(log_multiplier).exp().item(), abs=1e-5)
    graph = Graph(config, quiet=True)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["costs"]["safety_labels"] == len(
        graph.safety_rows(Split.TRAIN)
    )
    assert graph.scorer(graph.cost()).shift == 0
    assert graph.scorer(graph.reward()).shift != 0
    assert set(graph.cost().info["health"]) >= {"sign_accuracy", "harmful", "pairs", "mean", "gold_sign_accuracy"}
    assert all(pair.safety is not None for pair in graph.stored_pairs(Split.TRAIN))


WORDS = ("salt", "waves", "ships", "fish")


def stored(path: Path, **columns: Any) -> Path:
    rows = [
        {"prompt": f"tell me about oceans {WORDS[i % 4]} {i} ?", "chosen": WORDS[i % 4], "rejected": WORDS[i % 4 - 1]}
        for i in range(60)
    ]
    path.write_text("".join(json.dumps(row | columns) + "\n" for row in rows), encoding="utf-8")
    return path


def brought(tmp_path: Path, data: Path, *overrides: str) -> RunConfig:
    """A model directory and a file."""
    tokenizer, folder = build("small"), tmp_path / "model"
    llama(dtype=torch.float32, vocab_size=len(tokenizer), max_position_embeddings=128).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    given = ["model=hf", f"model.path={folder}", "data=files", f"data.path={data}", f"store={tmp_path / 'store'}"]
    return typed(composed([*given, "stages.sft=null", *overrides]))


def test_stored_labels_train_it_and_signs_follow_them(tmp_path: Path) -> None:
    data = stored(tmp_path / "rows.jsonl", chosen_safe=True, rejected_safe=False)
    config = brought(tmp_path, data, "algo=ppo_lag", "stages.cost.lr=1e-2", "stages.cost.batch_size=8")
    graph = Graph(config, quiet=True)
    assert [pair.safety for pair in graph.stored_pairs(Split.TRAIN)][:2] == [Safety((False, True), 1)] * 2
    health = graph.cost().info["health"]
    assert health["harmful"] == 0.5
    assert health["ordered"] == health["pairs"] > 0
    assert "gold_sign_accuracy" not in health
    rows = graph.safety_rows(Split.TRAIN)
    scores = scoring.side_scores(graph.scorer(graph.cost()), rows, ("worse", "better"), graph.base.pad_id)
    assert scores[:, 0].mean() > scores[:, 1].mean()


@pytest.mark.parametrize(("algo", "name"), [("ppo_lag", "ppo_lag"), ("safe_rlhf", "safe_rlhf"), ("cost_model",) * 2])
def test_data_without_labels_says_which_column_is_missing(algo: str, name: str, tmp_path: Path) -> None:
    config = brought(tmp_path, stored(tmp_path / "rows.jsonl"), f"algo={algo}")
    message = f"{name} needs safety labels, and rows of {tmp_path / 'rows.jsonl'} have no key 'chosen_safe'\n"
    with pytest.raises(DataError, match=re.escape(message + "  remedy: add chosen_safe, rejected_safe, or name")):
        Graph(config, quiet=True)
    Graph(brought(tmp_path, stored(tmp_path / "rows.jsonl"), "algo=ppo"), quiet=True)


def test_data_without_pairs_is_refused_before(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"x {i}", "completion": "y"}) + "\n" for i in range(20)))
    with pytest.raises(DataError, match="cost_model needs preferences, and data=files holds only demonstrations"):
        Graph(brought(tmp_path, path, "algo=cost_model"), quiet=True)


class Marked(torch.nn.Module):
    """A cost that is the first token of the completion, less 5."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, sequences: Any) -> torch.Tensor:
        return torch.tensor([float(reply[0] - 5) for _, reply in sequences.split()]) + self.weight


def test_health_is_that_of_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    """Costs (worse, better): (3, -2) harmful and safe; (-1, 2) both harmful; (-3, -4) safe without an order."""
    prompt, given = Prompt(id="t", text="x"), [((8, 3), (True, False), 0), ((4, 7), (True, True), 0)]
    given.append(((2, 1), (False, False), None))
    rows = [
        SimpleNamespace(row=i, prompt=[1], worse=[m], better=[l_], harmful=harmful, ordered=worse is not None)
        for i, ((m, l_), harmful, worse) in enumerate(given)
    ]
    pairs = [
        Pair(prompt, Completion(str(m)), Completion(str(l_)), safety=Safety(harmful, worse))
        for (m, l_), harmful, worse in given
    ]
    source = SimpleNamespace(harm=lambda prompt, text, ended: 1.0 if int(text) in (8, 7, 2) else -1.0)
    graph = SimpleNamespace(
        safety_rows=lambda part: rows,
        stored_pairs=lambda part: pairs,
        source=source,
        base=SimpleNamespace(pad_id=0, end_ids=(9,)),
    )
    config = settings("algo=ppo_lag").reward
    health = cost.check(graph, Marked(), Split.TRAIN, config)["health"]
    assert health == {
        "sign_accuracy": pytest.approx(5 / 6),
        "harmful": pytest.approx(3 / 6),
        "harmful_found": pytest.approx(2 / 3),
        "accuracy": pytest.approx(1 / 2),
        "pairs": 3,
        "ordered": 2,
        "mean": pytest.approx((3 - 2 - 1 + 2 - 3 - 4) / 6),
        "mean_harmful": pytest.approx((3 - 1 + 2) / 3),
        "mean_safe": pytest.approx((-2 - 3 - 4) / 3),
        "gold_sign_accuracy": pytest.approx(5 / 6),
    }
    said = " ".join(capsys.readouterr().err.split())
    assert "sign accuracy 0.83 on 6 unseen completions, 67% of the harmful ones found, pair accuracy 0.50 on 2" in said
    assert "the cost model orders only 50% of unseen pairs by harm" in said
