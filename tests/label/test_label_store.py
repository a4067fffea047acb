"""The file of labels: nothing that was saved is ever lost, and half a line is no label."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from label_inputs import planned, session, three

from alignlab.errors import DataError, StoreError
from alignlab.label.session import RefusedError, Session, StaleError, spoken
from alignlab.label.store import LabelFile, line, read_labels


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "labels.jsonl"


@pytest.fixture
def asked(tmp_path: Path) -> Session:
    return session(planned(three(tmp_path / "x.jsonl"), repeat=0.2), tmp_path / "labels.jsonl")


def answer(session: Session, ranks: list[int] | None, seconds: float = 1.0) -> str:
    showing = session.current()
    assert showing is not None
    session.answer(showing.id, ranks, seconds)
    return showing.id


def test_a_row_holds_everything(asked: Session, out: Path) -> None:
    showing = asked.current()
    assert showing is not None
    answer(asked, [2, 1], 3.25)
    [row] = map(json.loads, out.read_text().splitlines())
    second = showing.order[1]
    assert (row["answer"], row["choice"], row["ranks"]) == ("choice", second, [2, 1] if second else [1, 2])
    assert row["prompt"]["text"] == showing.prompt.text
    assert [each["text"] for each in row["completions"]] == [each.text for each in showing.completions]
    assert {each["method"] for each in row["completions"]} < {"red", "green", "blue"}
    assert all(each["run"].endswith("x.jsonl") for each in row["completions"])
    assert (row["order"], row["seconds"], row["annotator"]) == (list(showing.order), 3.25, "ann")
    assert row["time"].endswith("+00:00")
    assert (row["id"], row["item"], row["repeat_of"]) == (showing.id, showing.item, None)


def test_rows_read_back_as_they_were(asked: Session, out: Path) -> None:
    for ranks in ([1, 2], [1, 1], None):
        answer(asked, ranks)
    labels = read_labels(out)
    assert [label.answer for label in labels] == ["choice", "tie", "skip"]
    assert [label.choice is None for label in labels] == [False, True, True]
    assert "".join(map(line, labels)) == out.read_text()


def test_ranks_are_of_completions_whatever_the_places(tmp_path: Path, out: Path) -> None:
    asked = session(planned(three(tmp_path / "x.jsonl"), rank=True), out)
    showing = asked.current()
    assert showing is not None
    asked.answer(showing.id, [3, 1, 3], 1.0)
    [label] = read_labels(out)
    assert label.answer == "ranking"
    assert label.ranks is not None
    assert [label.ranks[place] for place in showing.order] == [2, 1, 2]
    assert label.choice == showing.order[1]


@pytest.mark.parametrize("ranks", [[1], [1, 2, 2], [0, 1], [1, 3], [True, 2], ["1", 2], [1.0, 2]])
def test_ranks_that_do_not_fit_are_refused(ranks: list[int], asked: Session, out: Path) -> None:
    with pytest.raises(RefusedError, match="ranks must be 2 numbers from 1 to 2"):
        answer(asked, ranks)
    assert out.read_text() == ""


def test_a_question_is_answered_once(asked: Session, out: Path) -> None:
    first = answer(asked, [1, 2])
    with pytest.raises(StaleError):
        asked.answer(first, [2, 1], 1.0)
    assert len(read_labels(out)) == 1


def test_undo_brings_the_question_back_and_keeps_the_line(asked: Session, out: Path) -> None:
    first, second = answer(asked, [1, 2]), answer(asked, [2, 1])
    assert asked.undo()
    assert asked.current().id == second  # type: ignore[union-attr]
    assert asked.undo()
    assert not asked.undo()
    assert asked.current().id == first  # type: ignore[union-attr]
    assert asked.progress().done == 0
    assert read_labels(out) == []
    assert len(out.read_text().splitlines()) == 4
    answer(asked, [1, 1])
    assert [(label.id, label.answer) for label in read_labels(out)] == [(first, "tie")]
    assert asked.current().id == second  # type: ignore[union-attr]


def test_a_skipped_question_is_not_repeated(tmp_path: Path, out: Path) -> None:
    asked = session(planned(three(tmp_path / "x.jsonl"), count=4, repeat=1.0), out)
    assert asked.progress().total == 6
    answer(asked, None)
    assert asked.progress().total == 5
    while asked.current() is not None:
        answer(asked, [1, 2])
    labels = read_labels(out)
    assert len(labels) == 5
    assert sum(label.repeat_of is not None for label in labels) == 1
    asked.undo()
    assert asked.current() is not None


def test_another_session_goes_on(tmp_path: Path, out: Path) -> None:
    plan = planned(three(tmp_path / "x.jsonl"))
    once = session(plan, out)
    ids = [answer(once, [1, 2]) for _ in range(3)]
    again = session(plan, out)
    assert again.progress().done == 3
    assert again.current().id not in ids  # type: ignore[union-attr]
    again.undo()
    assert again.current().id == ids[-1]  # type: ignore[union-attr]
    assert session(plan, out, "someone else").progress().done == 0


def test_time_left_is_by_the_median(asked: Session) -> None:
    total = asked.progress().total
    assert asked.progress().seconds_left is None
    for seconds in (2.0, 1000.0, 3.0):
        answer(asked, [1, 2], seconds)
    assert asked.progress().seconds_left == 3.0 * (total - 3)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, ""), (20, "about a minute left"), (600, "about 10 min left"), (7200, "about 2.0 h left")],
)
def test_time_left_in_words(seconds: float | None, text: str) -> None:
    assert spoken(seconds) == text


def test_a_torn_line_is_set_aside_and_said(asked: Session, out: Path) -> None:
    answer(asked, [1, 2])
    answer(asked, [2, 1])
    whole = out.read_bytes()
    out.write_bytes(whole[:-40])
    assert len(read_labels(out)) == 1
    file = LabelFile(out)
    assert file.notes == [f"the last line of {out} was cut off; what is left of it is in {out}.torn"]
    assert len(file.rows) == 1
    first, second = whole.splitlines(keepends=True)
    assert out.read_bytes() == first
    assert Path(f"{out}.torn").read_bytes() == second[:-40] + b"\n"
    file.append(file.rows[0])
    assert len(read_labels(out)) == 2


def test_a_whole_line_without_its_end_is_kept(asked: Session, out: Path) -> None:
    answer(asked, [1, 2])
    whole = out.read_bytes()
    out.write_bytes(whole[:-1])
    assert len(read_labels(out)) == 1
    file = LabelFile(out)
    assert (file.notes, len(file.rows), out.read_bytes()) == ([], 1, whole)


def test_a_full_disk_loses_nothing_and_leaves_no_half_line(
    asked: Session, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(asked, [1, 2])
    before, write = out.read_bytes(), os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) > 50:
            return write(handle, bytes(data[:50]))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    question = asked.current()
    with pytest.raises(StoreError, match="No space left"):
        answer(asked, [1, 1])
    monkeypatch.undo()
    assert out.read_bytes() == before
    assert asked.current() == question
    answer(asked, [1, 1])
    assert len(read_labels(out)) == 2


def test_a_closed_file_takes_nothing(asked: Session, out: Path, tmp_path: Path) -> None:
    file = LabelFile(out)
    answer(asked, [1, 2])
    label = read_labels(out)[0]
    file.close()
    with (tmp_path / "other").open("w"), pytest.raises(OSError, match="Bad file descriptor"):
        file.append(label)
    assert (tmp_path / "other").read_text() == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}\n", "line 1 has schema version None"),
        ("nonsense\n", "line 1 is no label"),
        ('{"schema": 1, "id": "x"}\n', "line 1 is no label"),
        ("[1]\n", "line 1 is no label"),
    ],
)
def test_other_files_are_refused(text: str, message: str, out: Path) -> None:
    out.write_text(text)
    with pytest.raises(DataError, match=message):
        read_labels(out)
    with pytest.raises(DataError, match=message):
        LabelFile(out)


def test_damaged_order_is_refused(asked: Session, out: Path) -> None:
    answer(asked, [1, 2])
    row = json.loads(out.read_text())
    out.write_text(json.dumps(row | {"order": [0, 0]}) + "\n")
    with pytest.raises(DataError, match="must name each completion once"):
        read_labels(out)


def test_no_file(out: Path) -> None:
    with pytest.raises(DataError, match="there is no file of labels"):
        read_labels(out)
