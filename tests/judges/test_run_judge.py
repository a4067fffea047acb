"""The judge of a run: who it is, what the key of an evaluation sees of it, and what was measured of it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from labelled_replies import SAID, plain_file, replies
from rich.console import Console
from support import TINY

from alignlab.__main__ import main
from alignlab.compose import composed
from alignlab.config import typed
from alignlab.data.schema import Message, Prompt, Verdict
from alignlab.errors import ConfigError, StoreError
from alignlab.evaluation.report import judged
from alignlab.judges.check.agreement import agreement
from alignlab.stages.graph import Graph
from alignlab.stages.verdicts import SCHEMA, RunJudge

PROMPT = Prompt(id="p", messages=(Message("user", "say it"),))
DECLINED = "I'm sorry, but I can't help with that."


def graph(store: Path, *words: str) -> Graph:
    return Graph(typed(composed([*TINY, f"store={store}", *words])), quiet=True)


def judge(store: Path, *words: str) -> Any:
    """A run's judge on data without one of its own."""
    stored = SimpleNamespace(judge=lambda: None)
    return RunJudge(typed(composed([f"store={store}", *words])).judge, stored, store, "cpu")


def test_the_desk_has_an_exact_judge(tmp_path: Path) -> None:
    found = graph(tmp_path).judge
    assert (found.name, found.exact, found.check()) == ("desk", True, None)
    assert "alignlab.worlds.desk.gold" in found.address()["code"]
    assert judged(found.described()) is None


def test_where_nobody_judges_there_are_no_verdicts(tmp_path: Path) -> None:
    found = judge(tmp_path)
    assert (found.name, found.exact, found.check()) == (None, False, None)
    assert found.verdicts([PROMPT], [DECLINED]) == [None]
    assert judged(found.described()) is None


def test_another_judge_takes_the_place_of_the_exact_one(tmp_path: Path) -> None:
    found = graph(tmp_path, "judge=phrases").judge
    assert (found.name, found.exact) == ("phrases", False)
    assert found.verdicts([PROMPT, PROMPT], [DECLINED, "Sure."]) == [Verdict.REFUSED, Verdict.COMPLIED]
    assert found.address() != graph(tmp_path).judge.address()
    assert "alignlab.judges.phrases" in found.address()["code"]


def test_settings_of_a_judge_are_in_its_address_and_its_labels_are_checked_first(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="needs alignlab[judges]")
    file = plain_file(tmp_path / "rows.jsonl", replies())
    words = ("judge=classifier", f"judge.labels=[{file}]")
    one, other = judge(tmp_path, *words), judge(tmp_path, *words, "judge.c=9")
    assert one.address() != other.address()
    assert one.verdicts([PROMPT] * 3, list(SAID.values())) == [*SAID]
    with pytest.raises(ConfigError, match="judge=classifier has no labels"):
        graph(tmp_path, "judge=classifier")


def test_hidden_states_are_those_of_the_sft_policy(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="needs alignlab[judges]")
    file = plain_file(tmp_path / "rows.jsonl", replies(10))
    run = graph(tmp_path, "judge=classifier", "judge.features=hidden", f"judge.labels=[{file}]")
    assert run.judge.address()["policy"] == run.sft.content
    (verdict,) = run.judge.verdicts([PROMPT], ["sorry"])
    assert verdict in [*Verdict]


def test_what_was_measured_is_found_by_runs_with_the_same_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = plain_file(tmp_path / "rows.jsonl", replies(20))
    assert judge(tmp_path, "judge=phrases").check() is None
    assert main(["judge-check", file, "judge=phrases", f"store={tmp_path}"]) == 0
    assert "phrases" in capsys.readouterr().out
    found = judge(tmp_path, "judge=phrases").check()
    assert found is not None
    assert (found["n"], set(found["by_model"])) == (60, {"one", "two", "three"})
    assert {"precision", "recall"} <= set(found["refusal"])
    assert judge(tmp_path / "other", "judge=phrases").check() is None
    assert graph(tmp_path).judge.check() is None


def test_the_largest_measurement_speaks_for_the_judge(tmp_path: Path) -> None:
    many = plain_file(tmp_path / "many.jsonl", replies(20))
    few = plain_file(tmp_path / "few.jsonl", replies(2, models=("one",)))
    for file in (few, many, few):
        assert main(["judge-check", file, "judge=phrases", f"store={tmp_path}"]) == 0
    found = judge(tmp_path, "judge=phrases").check()
    assert found is not None
    assert found["n"] == 60


def test_a_measurement_that_judged_nothing_is_none(tmp_path: Path) -> None:
    found = judge(tmp_path, "judge=phrases")
    record = found.record(["labels"])
    record.parent.mkdir(parents=True)
    nothing = agreement(replies(2), [None] * 6)
    assert nothing["accuracy"] is None
    record.write_text(json.dumps({"schema": SCHEMA, "measured": nothing}), encoding="utf-8")
    assert found.check() is None


def test_a_record_that_is_none_is_named(tmp_path: Path) -> None:
    found = judge(tmp_path, "judge=phrases")
    record = found.record(["labels"])
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"schema": 0, "measured": {}}), encoding="utf-8")
    assert found.check() is None  # of another version: not measured
    record.write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match="is no record of judge-check"):
        found.check()


def text_of(described: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(judged(described))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_report_says_how_well_the_judge_is_known() -> None:
    described: dict[str, Any] = {"name": "phrases", "exact": False, "check": None}
    assert "Refusals judged by phrases, unmeasured: `python -m alignlab judge-check FILE`" in text_of(described)
    check = {"n": 2250, "kappa": 0.726, "refusal": {"precision": 0.92, "recall": None}}
    expected = "Refusals judged by phrases: precision 92%, kappa 0.73 on 2,250 labelled replies.\n"
    assert text_of(described | {"check": check}) == expected
    few = "Refusals judged by phrases: precision 92%, kappa 0.73, measured on 99 replies only.\n"
    assert text_of(described | {"check": check | {"n": 99}}) == few
    assert "on 100 labelled replies" in text_of(described | {"check": check | {"n": 100}})
