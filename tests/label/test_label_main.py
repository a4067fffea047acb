"""The verb, as it is typed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from label_inputs import rows, run, three

from alignlab.__main__ import main
from alignlab.label.store import read_labels


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def label(keys: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(keys))
    return main(["label", *arguments, "--terminal", "--annotator", "ann"])


def test_a_sweep_is_labelled_summed_up_and_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("red", "green", "blue"):
        for seed in (0, 1):
            run(tmp_path / "sweep" / f"{name}{seed}", name, seed=seed)
    assert label("1" * 30, monkeypatch, "sweep", "--count", "30", "--repeat", "0") == 0
    said = capsys.readouterr()
    assert "30 questions about 3 methods, 0 of them asked again" in said.err
    assert "That was all. Thank you." in said.out
    labels = read_labels(tmp_path / "labels.jsonl")
    assert len(labels) == 30
    assert {one.annotator for one in labels} == {"ann"}
    assert {one.completions[0].run.partition("/")[0] for one in labels} == {"sweep"}

    assert main(["label", "summary", "labels.jsonl"]) == 0
    out = capsys.readouterr().out
    assert "30 labels of 1 person: 30 choice" in out
    assert "first place     100 % [89, 100]" in out
    assert "n counts requests" in out
    assert max(map(len, out.splitlines())) <= 80

    assert main(["label", "export", "labels.jsonl", "--pairs", "pairs.jsonl"]) == 0
    assert "30 pairs in pairs.jsonl" in capsys.readouterr().out
    assert len((tmp_path / "pairs.jsonl").read_text().splitlines()) == 30


def test_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    three(tmp_path / "x.jsonl")
    label("12", monkeypatch, "x.jsonl")
    assert "answered already" not in capsys.readouterr().err
    label("t", monkeypatch, "x.jsonl")
    assert "2 answered already; going on" in capsys.readouterr().err
    assert [one.answer for one in read_labels(tmp_path / "labels.jsonl")] == ["choice", "choice", "tie"]
    label("s", monkeypatch, "x.jsonl", "--seed", "5", "--out", "other/labels.jsonl")
    assert len(read_labels(tmp_path / "other" / "labels.jsonl")) == 1


def test_a_torn_line_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    three(tmp_path / "x.jsonl")
    label("12", monkeypatch, "x.jsonl")
    out = tmp_path / "labels.jsonl"
    out.write_bytes(out.read_bytes()[:-9])
    label("", monkeypatch, "x.jsonl")
    said = capsys.readouterr().err
    assert "the last line of labels.jsonl was cut off; what is left of it is in labels.jsonl.torn" in said
    assert "1 answered already; going on" in said


def test_ctrl_c_ends_it_with_what_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            if self.tell() == 1:
                raise KeyboardInterrupt
            return super().read(size)

    three(tmp_path / "x.jsonl")
    monkeypatch.setattr("sys.stdin", Interrupted("12"))
    assert main(["label", "x.jsonl", "--terminal"]) == 0
    said = capsys.readouterr()
    assert "the same command goes on here" in said.err
    assert "1 label of 1 person" in said.out
    assert len(read_labels(tmp_path / "labels.jsonl")) == 1


def test_what_is_passed_over_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = [{"prompt": f"q{n}", "completions": {"a": "same", "b": "same" if n else "other"}} for n in range(3)]
    rows(tmp_path / "x.jsonl", content)
    label("", monkeypatch, "x.jsonl")
    said = capsys.readouterr().err
    assert "2 comparisons of identical completions were passed over" in said
    assert "there are no more than 1 different comparisons" in said
    rows(tmp_path / "x.jsonl", content[1:])
    assert label("", monkeypatch, "x.jsonl") == 2
    assert "all 2 comparisons are between identical completions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 2, "there is no nowhere"),
        (["x.jsonl", "--count", "0"], 2, "'0' is no number of questions"),
        (["x.jsonl", "--repeat", "2"], 2, "'2' is no share"),
        (["x.jsonl", "--port", "70000"], 2, "'70000' is no port"),
        (["x.jsonl", "--kinds", "odd"], 2, "there is no request of kind 'odd'"),
        ([], 2, "RUNS"),
        (["export", "x.jsonl"], 2, "--pairs"),
        (["summary", "nowhere"], 2, "there is no file of labels nowhere"),
        (["export", "x.jsonl", "--pairs", "y"], 2, "x.jsonl, line 1 has schema version None"),
    ],
)
def test_mistakes(
    arguments: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three(tmp_path / "x.jsonl")
    assert main(["label", *arguments]) == code
    assert message in capsys.readouterr().err


def test_summary_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.jsonl").write_text("")
    assert main(["label", "summary", "labels.jsonl"]) == 0
    assert "no labels yet" in capsys.readouterr().out


def test_labels_of_several_people_are_summed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    three(tmp_path / "x.jsonl")
    label("111", monkeypatch, "x.jsonl")
    monkeypatch.setattr("sys.stdin", io.StringIO("112"))
    main(["label", "x.jsonl", "--terminal", "--annotator", "bob", "--out", "bob.jsonl"])
    capsys.readouterr()
    assert main(["label", "summary", "labels.jsonl", "bob.jsonl"]) == 0
    out = capsys.readouterr().out
    assert "6 labels of 2 people" in out
    assert "between people  67 %" in out
    assert all(json.loads(text) for text in (tmp_path / "bob.jsonl").read_text().splitlines())
