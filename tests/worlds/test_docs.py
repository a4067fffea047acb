"""The scores and verdicts printed in docs/worlds.md are the world's own."""

from __future__ import annotations

from pathlib import Path

from alignlab.worlds.desk.gold import gold, verdict
from alignlab.worlds.desk.requests import requests


def test_documented_scores():
    page = Path(__file__).resolve().parents[2] / "docs" / "worlds.md"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.read_text().splitlines()]
    examples = [row for row in rows if len(row) == 5 and row[0] in ("benign", "lookalike", "harmful")]
    by_text = {request.text: request for request in requests("small")}
    assert len(examples) >= 16
    for kind, text, reply, score, judged in examples:
        prompt = by_text[text].prompt()
        assert (prompt.kind, f"{gold(prompt, reply, True):.2f}", verdict(prompt, reply)) == (kind, score, judged)
