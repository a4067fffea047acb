"""The terminal view, driven by keys as a person would press them."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from label_inputs import planned, rows, run, session, three
from rich.console import Console

from alignlab.label.session import Session
from alignlab.label.store import read_labels
from alignlab.label.terminal import label, pressed, visible


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "labels.jsonl"


def asked(session: Session, keys: str, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    label(session, iter(keys), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def placed(path: Path) -> list[list[int] | None]:
    """Ranks of labels by place."""
    return [None if one.ranks is None else [one.ranks[at] for at in one.order] for one in read_labels(path)]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("12", [[1, 2], [2, 1]]),
        ("ts1", [[1, 1], None, [1, 2]]),
        ("1u2", [[2, 1]]),
        ("12uut", [[1, 1]]),
        ("u1", [[1, 2]]),
        ("x39 0=1", [[1, 2]]),
        ("TS", [[1, 1], None]),
        ("1q2", [[1, 2]]),
        ("", []),
    ],
)
def test_two_completions(keys: str, expected: list[list[int] | None], tmp_path: Path, out: Path) -> None:
    asked(session(planned(three(tmp_path / "x.jsonl")), out), keys)
    assert placed(out) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("312", [[2, 3, 1]]),
        ("2=13", [[1, 1, 2]]),
        ("12=3", [[1, 2, 2]]),
        ("t", [[1, 1, 1]]),
        ("112=23", [[1, 2, 2]]),
        ("12", []),
        ("12s", [None]),
        ("123u3=12", [[1, 2, 1]]),
    ],
)
def test_rankings(keys: str, expected: list[list[int] | None], tmp_path: Path, out: Path) -> None:
    asked(session(planned(three(tmp_path / "x.jsonl"), rank=True), out), keys)
    assert placed(out) == expected


def test_what_is_shown(tmp_path: Path, out: Path) -> None:
    runs = [run(tmp_path / name, name, text="text") for name in ("red", "green")]
    for folder, word in zip(runs, ("left", "right"), strict=True):
        samples = folder / "samples.jsonl"
        samples.write_text(samples.read_text().replace("text 0.1", word))
    shown = asked(session(planned(*runs), out), "1q")
    assert "0 of 12" in shown
    assert "1 of 12" in shown
    assert "left says" in shown
    assert "right says" in shown
    assert "red" not in shown
    assert "green" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_side_by_side_where_there_is_room(tmp_path: Path, out: Path) -> None:
    lines = asked(session(planned(three(tmp_path / "x.jsonl")), out), "", width=120).splitlines()
    assert any("─ 1 ─" in line and "─ 2 ─" in line for line in lines)
    assert max(map(len, lines)) <= 120
    lines = asked(session(planned(three(tmp_path / "x.jsonl")), out), "", width=80).splitlines()
    assert not any("─ 1 ─" in line and "─ 2 ─" in line for line in lines)


def test_to_the_end_and_on_again(tmp_path: Path, out: Path) -> None:
    plan = planned(three(tmp_path / "x.jsonl"), count=4)
    assert "That was all" not in asked(session(plan, out), "11")
    assert "That was all" in asked(session(plan, out), "11")
    assert len(read_labels(out)) == 4


def test_a_terminal_obeys_no_completion(tmp_path: Path, out: Path) -> None:
    hostile = "\x1b]0;owned\x07 \x1b[2J [red]markup[/red] \u202edrow\u202c \x9b31m \ud800"
    file = rows(tmp_path / "x.jsonl", [{"prompt": f"{hostile} ?", "completions": [hostile, "plain\tand\nlines"]}])
    shown = asked(session(planned(file), out), "")
    for character in ("\x1b", "\x07", "\u202e", "\x9b", "\ud800"):
        assert character not in shown
    assert "\\u001b]0;owned\\u0007" in shown
    assert "[red]markup[/red]" in shown


def test_visible_keeps_what_people_write() -> None:
    text = "Grüße, 中文, עברית\n\tfamily \U0001f468\u200d\U0001f469 – done"
    assert visible(text) == text


def test_characters_of_a_file_are_keys() -> None:
    assert list(pressed(io.StringIO("1 2\nt\n"))) == ["1", "2", "t"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_keys_of_a_terminal_need_no_enter_and_leave_it_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    import pty
    import termios

    parent, child = pty.openpty()
    with os.fdopen(child, "r") as terminal:
        before = termios.tcgetattr(child)
        monkeypatch.setattr(sys, "stdin", terminal)
        keys: Iterator[str] = pressed(terminal)

        def press() -> None:
            while termios.tcgetattr(child) == before:  # keys pressed earlier are dropped, as they were meant for others
                time.sleep(0.01)
            os.write(parent, b"1t")

        person = threading.Thread(target=press, daemon=True)
        person.start()
        assert [next(keys), next(keys)] == ["1", "t"]
        person.join()
        assert termios.tcgetattr(child) != before
        keys.close()  # type: ignore[attr-defined]
        assert termios.tcgetattr(child) == before
    os.close(parent)
