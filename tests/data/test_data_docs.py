"""Every example row of the data page has the shape its heading says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from alignlab.data.readers import Record
from alignlab.data.shapes import Parser, detect

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
ROWS = [
    (shape, line)
    for shape, block in re.findall(r"```json (\w+)\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]


def test_every_shape_has_an_example():
    assert {shape for shape, _ in ROWS} == {"pairs", "transcripts", "responses", "labels", "demonstrations", "prompts"}


@pytest.mark.parametrize(("shape", "line"), ROWS)
def test_example_rows_are_read_as_the_page_says(shape, line):
    record = Record("data.md", "row 1", json.loads(line))
    assert detect(record, Parser()) == shape
    row = Parser().parse(record, shape)
    prompt = getattr(row, "prompt", row)
    assert "France" in prompt.show()
