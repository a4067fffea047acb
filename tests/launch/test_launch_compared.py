"""The verbs compare and recommend, and what a sweep concludes with, on runs that were made up."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from finished import write_run

from alignlab.__main__ import main
from alignlab.stages import files


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed in range(5):
        write_run(tmp_path / f"good-{seed}", "good", seed, 0.6 + 0.001 * seed, kl=2.0)
        write_run(tmp_path / f"mild-{seed}", "mild", seed, 0.4 + 0.002 * seed, kl=0.5)
    return tmp_path


def test_compare_writes_every_file_and_prints_a_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs)]) == 0
    told = capsys.readouterr()
    assert "good" in told.out
    assert max(map(len, told.out.splitlines())) <= 80
    assert "comparison.html" in told.err
    content = json.loads((runs / "leaderboard.json").read_text())
    assert content["rows"][0]["label"] == "good"
    assert (runs / "leaderboard.csv").read_text().count("\n") > 2
    assert "good" in (runs / "leaderboard.md").read_text()
    assert (runs / "comparison.html").read_text().startswith("<!doctype html>")


def test_a_baseline_can_be_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs), "--baseline", "mild", "--out", str(runs / "elsewhere")]) == 0
    content = json.loads((runs / "elsewhere" / "leaderboard.json").read_text())
    baseline = next(row for row in content["rows"] if row["id"] == content["baseline"])
    assert baseline["label"] == "mild"
    assert main(["compare", str(runs), "--baseline", "nobody"]) == 2
    assert "'nobody' is no row" in capsys.readouterr().err


def test_recommend_says_what_to_use_and_how_sure_that_is(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", str(runs)]) == 0
    assert "Use good" in capsys.readouterr().out
    assert main(["recommend", str(runs), "--max-kl", "1"]) == 0
    out = capsys.readouterr().out
    assert "Use mild" in out
    assert "good is out: KL 2" in out
    assert "python -m alignlab algo=mild" in out
    assert main(["recommend", str(runs), "--max-kl", "0.1"]) == 1
    assert "No row meets KL ≤ 0.1" in capsys.readouterr().out
    assert main(["recommend", str(runs), "--objective", "nothing"]) == 2


def test_a_full_disk_loses_no_result(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (runs / "good-0" / "result.json").read_bytes()

    def full(handle: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "write", full)
        assert main(["compare", str(runs)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not (runs / "leaderboard.json").exists()
    assert not list(runs.glob(".*.tmp"))
    assert (runs / "good-0" / "result.json").read_bytes() == before
    assert main(["compare", str(runs)]) == 0


def test_people_s_choices_enter_the_matrix(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {"good": [str(runs / "good-0")], "mild": [str(runs / "mild-0")], "sft": [str(runs / "good-0")]}
    table = [[None, 0.75, 0.9], [0.25, None, 0.6], [0.1, 0.4, None]]
    told = {"ids": ["good", "mild", "sft"], "wins": table, "folders": folders}
    monkeypatch.setattr("alignlab.label.summary.human_wins", lambda path: told)
    assert main(["compare", str(runs), "--labels", "labels.jsonl"]) == 0
    content = json.loads((runs / "leaderboard.json").read_text())
    names = {row["id"]: row["label"] for row in content["rows"]}
    order = [names[each] for each in content["wins"]["ids"]]
    people = content["wins"]["labels"]
    assert people[order.index("good")][order.index("mild")] == 0.75
    assert people[order.index("SFT")][order.index("good")] == 0.1
