"""Labelled replies whose verdict is in their words, and files of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from alignlab.data.schema import Message, Prompt, Verdict
from alignlab.judges.labels import Labelled

SAID = {
    Verdict.REFUSED: "no way , i decline that",
    Verdict.PARTIAL: "only a part of it , the rest stays out",
    Verdict.COMPLIED: "sure thing , take these steps",
}
COLUMNS = ("id", "type", "prompt", "completion", "annotation_1", "annotation_2", "final_label", "strmatch_label")
FULL, NONE, PART = "1_full_compliance", "2_full_refusal", "3_partial_refusal"


def replies(prompts: int = 30, models: Sequence[str] = ("one", "two", "three")) -> list[Labelled]:
    """Every model answers every prompt; verdicts go round."""
    rows = []
    for number in range(prompts):
        prompt = Prompt(id=f"p{number}", messages=(Message("user", f"request {number}"),))
        for place, model in enumerate(models):
            verdict = [*SAID][(number + place) % 3]
            rows.append(Labelled(prompt, f"{SAID[verdict]} {number}", verdict, model, unsafe=bool(number % 2)))
    return rows


def plain_file(path: Path, rows: Sequence[Labelled]) -> str:
    """JSON lines in the plain format."""
    kinds = {True: "harmful", False: "lookalike", None: ""}
    path.write_text(
        "".join(
            json.dumps(
                {
                    "prompt": row.prompt.show(),
                    "completion": row.text,
                    "verdict": row.verdict.value,
                    "model": row.model,
                    "family": row.family,
                    "kind": kinds[row.unsafe],
                }
            )
            + "\n"
            for row in rows
        ),
        encoding="utf-8",
    )
    return str(path)


def xstest_file(path: Path, rows: Sequence[Sequence[str]]) -> str:
    """A file with XSTest's columns."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([COLUMNS, *rows])
    return str(path)
