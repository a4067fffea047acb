"""Reliability and win rates against values counted by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support import ROOT

from alignlab.compare.intervals import wilson
from alignlab.data.schema import Prompt
from alignlab.label.inputs import Candidate
from alignlab.label.store import Judgement, line
from alignlab.label.summary import human_wins, reliability, wins


def said(
    number: int,
    ranks: Sequence[int] | None,
    methods: str = "ab",
    *,
    order: Sequence[int] = (),
    again: bool = False,
    annotator: str = "ann",
) -> Judgement:
    completions = tuple(Candidate(text=f"{name}{number}", method=name, run=f"runs/{name}") for name in methods)
    return Judgement(
        id=f"{methods}{number}{'-again' if again else ''}",
        item=f"{methods}{number}",
        repeat_of=f"{methods}{number}" if again else None,
        prompt=Prompt(f"p{number}", text=f"question {number}"),
        attempt=0,
        completions=completions,
        order=tuple(order) or tuple(range(len(methods))),
        ranks=None if ranks is None else tuple(ranks),
        seconds=1.0,
        annotator=annotator,
        time="2030-01-01T00:00:00+00:00",
    )


def test_win_rates_by_hand(tmp_path: Path) -> None:
    labels = [said(0, [1, 2]), said(1, [1, 2]), said(2, [2, 1]), said(3, [1, 1]), said(4, None), said(5, [1, 2], "bc")]
    (tmp_path / "x.jsonl").write_text("".join(map(line, labels)))
    found = human_wins(tmp_path / "x.jsonl")
    assert found["ids"] == ["a", "b", "c"]
    assert found["wins"] == [[None, 0.625, None], [0.375, None, 1.0], [None, 0.0, None]]
    assert found["n"] == [[0, 4, 0], [4, 0, 1], [0, 1, 0]]
    assert (found["low"][0][1], found["high"][0][1]) == pytest.approx(wilson(2.5, 4))
    assert found["low"][1][0] == pytest.approx(1 - found["high"][0][1])
    assert found["folders"] == {"a": ["runs/a"], "b": ["runs/b"], "c": ["runs/c"]}
    assert json.loads(json.dumps(found)) == found


def test_a_request_counts_once(tmp_path: Path) -> None:
    labels = [said(0, [1, 2], annotator=name) for name in "xyz"] + [said(0, [2, 1], annotator="w"), said(1, [2, 1])]
    found = wins(labels)
    assert found["wins"][0][1] == pytest.approx((0.75 + 0) / 2)
    assert found["n"][0][1] == 2


def test_repeats_count_in_no_win_rate() -> None:
    assert wins([said(0, [1, 2]), said(0, [2, 1], again=True)])["wins"][0][1] == 1.0


def test_rankings_count_by_their_pairs() -> None:
    found = wins([said(0, [2, 1, 2], "abc")])
    assert found["wins"] == [[None, 0.0, 0.5], [1.0, None, 1.0], [0.5, 0.0, None]]


def test_one_title_of_two_settings_is_two_ids() -> None:
    first, second = said(0, [1, 2]), said(1, [1, 2])
    changed = [
        replace(label, completions=tuple(replace(each, settings=each.method + digest) for each in label.completions))
        for label, digest in ((first, "1"), (second, "2"))
    ]
    assert wins(changed)["ids"] == ["a (a1)", "a (a2)", "b (b1)", "b (b2)"]
    assert wins([changed[0], changed[0]])["ids"] == ["a", "b"]


def test_agreement_of_repeats() -> None:
    labels = [said(n, [1, 2]) for n in range(4)]
    again = [
        said(0, [1, 2], order=(1, 0), again=True),
        said(1, [2, 1], order=(1, 0), again=True),
        said(2, [1, 1], order=(1, 0), again=True),
        said(3, None, again=True),
    ]
    found = reliability([*labels, *again]).agreement
    assert (found.n, found.value) == (3, pytest.approx(1 / 3))
    assert (found.low, found.high) == pytest.approx(wilson(1, 3))


def test_agreement_is_with_oneself() -> None:
    labels = [said(0, [1, 2]), said(0, [2, 1], again=True, annotator="other")]
    assert reliability(labels).agreement.n == 0


def test_agreement_between_people_is_of_first_answers() -> None:
    labels = [said(0, [1, 2]), said(0, [1, 2], annotator="other"), said(1, [1, 2]), said(1, [1, 1], annotator="other")]
    found = reliability([*labels, said(0, [2, 1], again=True)]).between
    assert (found.value, found.n) == (0.5, 2)


def test_agreement_of_rankings_is_by_pairs() -> None:
    found = reliability([said(0, [1, 2, 3], "abc"), said(0, [2, 1, 3], "abc", again=True)]).agreement
    assert (found.value, found.n) == (pytest.approx(2 / 3), 1)


def test_the_pull_of_the_first_place() -> None:
    labels = [said(0, [1, 2]), said(1, [1, 2], order=(1, 0)), said(2, [2, 1], order=(1, 0)), said(3, [1, 1])]
    found = reliability(labels).first
    assert (found.value, found.n) == (pytest.approx(2 / 3), 3)
    ranking = reliability([said(0, [3, 1, 2], "abc", order=(1, 2, 0))]).first
    assert (ranking.value, ranking.n) == (1.0, 1)


def test_nothing_said() -> None:
    assert reliability([]).agreement.value is None
    assert reliability([said(0, None)]).first.n == 0
    assert wins([said(0, None)])["wins"] == [[None, None], [None, None]]


def test_imports_no_torch() -> None:
    code = (
        "import sys, alignlab.label.export, alignlab.label.main, alignlab.label.summary; print('torch' in sys.modules)"
    )
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
