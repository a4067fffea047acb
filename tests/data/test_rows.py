"""Stored pairs read back as they were written."""

from __future__ import annotations

from alignlab.data.rows import prompt_from_json, prompt_to_json, read_pairs, write_pairs
from alignlab.data.schema import Completion, Message, Pair, Prompt


def test_pairs_survive_storage(tmp_path):
    chat = Prompt(
        id="a",
        messages=(Message("user", "«hi»\u2028there"), Message("assistant", "x"), Message("user", "y")),
        kind="benign",
        attack="prefix",
        base="b",
        meta={"needs": ["x"]},
    )
    pairs = [
        Pair(chat, Completion("one", ids=(1, 2)), Completion("two"), 0.5, 0.75),
        Pair(Prompt(id="t", text="verbatim\n"), Completion(""), Completion("x", ids=())),
    ]
    assert write_pairs(tmp_path / "pairs.jsonl", pairs) == 2
    assert read_pairs(tmp_path / "pairs.jsonl") == pairs
    assert prompt_from_json(prompt_to_json(chat)) == chat
