"""The leaderboard as CSV, Markdown and a terminal table."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from contents import HOSTILE, comparison, hostile
from rich.console import Console

from alignlab.compare.content import clean, metric, one_line, primary, shown
from alignlab.compare.tables import leaderboard_csv, leaderboard_markdown, leaderboard_table
from alignlab.errors import DataError


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return comparison()


def printed(content: dict[str, Any], width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(leaderboard_table(content, width))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_csv_holds_every_figure_unrounded_and_best_first(content: dict[str, Any]) -> None:
    found = list(csv.DictReader(io.StringIO(leaderboard_csv(content))))
    rows = {row["id"]: row for row in content["rows"]}
    assert len(found) == len(rows)
    for line in found:
        own = rows[line["id"]]
        for name in ("gold", "kl", "breach"):
            for end in ("mean", "low", "high"):
                known = own["metrics"].get(name, {}).get(end)
                written = line[name if end == "mean" else f"{name}_{end}"]
                assert (float(written) if written else None) == known
    learned = [float(line["gold"]) for line in found if not rows[line["id"]]["control"]]
    assert learned == sorted(learned, reverse=True)
    assert [line["id"] for line in found][-2:] == ["control-comply", "control-refuse"]
    assert next(line for line in found if line["id"] == "dpo-0.1")["flags"] == "displacement"


def test_csv_runs_nothing_in_a_spreadsheet() -> None:
    rows = [{"id": text, "label": text, "metrics": {}} for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1")]
    found = list(csv.DictReader(io.StringIO(leaderboard_csv({"rows": rows}))))
    assert [line["label"] for line in found] == ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'=1"]


@pytest.mark.parametrize("width", [100, 80])
def test_terminal_table_fits(content: dict[str, Any], width: int) -> None:
    text = printed(content, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    head = next(line.split() for line in lines if line.strip().startswith("tier"))
    assert ("length" in head) == (width == 100)
    assert {"tier", "method", "gold", "KL", "win%", "breach%", "over%", "seeds"} <= set(head)
    [line] = [line for line in lines if "ppo β=0.1" in line and line.startswith("A")]
    row = next(row for row in content["rows"] if row["id"] == "ppo-0.1")
    gold = row["metrics"]["gold"]
    assert f"{gold['mean']:.2f} [{gold['low']:.2f}, {gold['high']:.2f}]" in line
    assert f" {row['metrics']['kl']['mean']:.2f} " in line


def test_terminal_lists_failures_without_their_control_codes(content: dict[str, Any]) -> None:
    text = printed(content)
    assert "\x1b" not in text
    assert "simpo β=0.03, seed 3: failed: TrainingError" in text
    assert "orpo β=0.3, seed 1: missing" in text
    assert "constitutional: not compared: another data set" in text


def test_hostile_texts_stay_text() -> None:
    text = printed(hostile())
    assert not set(text) & {"\x1b", "\u202e", "\x00", "\u2028"}
    markdown = leaderboard_markdown(hostile())
    assert "<script" not in markdown.replace("\\<", "")
    assert "](" not in markdown
    for part in markdown.split("## Posture"):
        table = [line for line in part.splitlines() if line.startswith("|")]
        bars = {line.replace("\\|", "").count("|") for line in table}
        assert len(bars) == 1


def test_markdown_says_answer_failures_and_caveats(content: dict[str, Any]) -> None:
    text = leaderboard_markdown(content)
    assert text.startswith("# Twelve ways of aligning the help desk\n")
    assert "gained most" in text.split("| tier")[0]
    assert "## Not in the table" in text
    assert "## Caveats" in text


@pytest.mark.parametrize(
    "content", [{}, {"rows": None}, {"rows": [{}]}, {"rows": [{"id": "a", "metrics": None, "gain": None}]}]
)
def test_absent_parts_are_left_out(content: dict[str, Any]) -> None:
    assert leaderboard_csv(content).count("\n") == 1 + len(content.get("rows") or ())
    assert "|" in leaderboard_markdown(content)
    assert "No method has a finished run" in printed(content) or content.get("rows")


def test_primary_is_the_first_known_figure() -> None:
    assert primary({"rows": [{"metrics": {"judge_score": {"mean": 1.0}}}]}).key == "judge_score"
    assert primary({"primary": "gold", "primary_label": "true score"}).label == "true score"


@pytest.mark.parametrize(
    ("value", "key", "expected"),
    [
        (None, "gold", "–"),
        (-0.001, "gold", "0.00"),
        (-1.25, "kl", "−1.25"),
        (0.125, "breach", "12.5"),
        (3.2e12, "flops", "3.2 T"),
        (812e6, "peak_memory", "812 MB"),
        (90.0, "seconds", "1.5 min"),
    ],
)
def test_figures_are_shown_in_their_unit(value: float | None, key: str, expected: str) -> None:
    assert shown(value, metric(key)) == expected


def test_text_is_cleaned() -> None:
    assert one_line("a\nb\x1b[31m\u202ec") == "a b[31mc"
    assert clean({"a": [float("nan"), 1.5, "x\ud800"]}) == {"a": [None, 1.5, "x\ufffd"]}
    with pytest.raises(DataError, match="a comparison holds set"):
        clean({"a": {1}})
    assert all(HOSTILE)
