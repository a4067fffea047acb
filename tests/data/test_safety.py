"""Safety labels of pairs: every shape they are stored in, what is said about faults, and their batches."""

from __future__ import annotations

import json
import re
from typing import Any

import data_tokenizers as tok
import pytest
import torch

from alignlab.data.config import FilesConfig
from alignlab.data.module import Collator
from alignlab.data.readers import Record
from alignlab.data.rows import read_pairs, write_pairs
from alignlab.data.schema import Completion, Pair, Prompt, Safety, Split
from alignlab.data.shapes import Parser, Skipped, detect
from alignlab.data.sources import files_source
from alignlab.data.tokens import Limits, tokenise
from alignlab.errors import DataError
from alignlab.method import Data

PLAIN = {"prompt": "hi", "chosen": "hello", "rejected": "bye"}
PKU = {
    "prompt": "hi",
    "response_0": "bye",
    "response_1": "hello",
    "better_response_id": 1,
    "safer_response_id": 0,
    "is_response_0_safe": False,
    "is_response_1_safe": False,
}


def parse(row: dict[str, Any], **settings: Any) -> Pair:
    parser, record = Parser(**settings), Record("rows.jsonl", "line 3", row)
    return parser.parse(record, detect(record, parser))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, None),
        (dict(chosen_safe=True, rejected_safe=False), Safety((False, True), 1)),
        (dict(chosen_safe="false", rejected_safe=1), Safety((True, False), 0)),
        (dict(chosen_safe=True, rejected_safe=True), Safety((False, False), None)),
        (dict(chosen_safe=False, rejected_safe=False, safer=None), Safety((True, True), None)),
        (dict(chosen_safe=False, rejected_safe=False, safer="chosen"), Safety((True, True), 1)),
        (dict(chosen_safe=True, rejected_safe=False, safer="Rejected"), Safety((False, True), 0)),
        (dict(chosen_safe=None, rejected_safe=None), None),
        (dict(chosen_safe="", rejected_safe=float("nan")), None),
    ],
)
def test_pairs_may_say_whether_each_completion_is_safe(columns: dict[str, Any], expected: Safety | None) -> None:
    assert parse({**PLAIN, **columns}).safety == expected
    talk = {side: f"\n\nHuman: hi\n\nAssistant: {PLAIN[side]}" for side in ("chosen", "rejected")}
    assert parse({**talk, **columns}).safety == expected


@pytest.mark.parametrize("better", [0, 1])
@pytest.mark.parametrize("safer", [0, 1])
@pytest.mark.parametrize("safe", [(True, False), (False, False)])
def test_numbered_responses_are_ordered_by_help_and_labelled_by_harm(
    better: int, safer: int, safe: tuple[bool, bool]
) -> None:
    row = {**PKU, "better_response_id": better, "safer_response_id": str(safer)}
    pair = parse({**row, "is_response_0_safe": safe[0], "is_response_1_safe": int(safe[1])})
    texts = [PKU["response_0"], PKU["response_1"]]
    assert [pair.chosen.text, pair.rejected.text] == [texts[better], texts[1 - better]]
    assert pair.safety.harmful == (not safe[better], not safe[1 - better])
    assert [pair.chosen.text, pair.rejected.text][pair.safety.worse] == texts[1 - safer]
    assert pair.prompt == parse(PLAIN).prompt


def test_numbered_responses_need_no_safety_labels_to_be_pairs() -> None:
    bare = {key: PKU[key] for key in ("prompt", "response_0", "response_1", "better_response_id")}
    assert parse(bare).safety is None
    with pytest.raises(Skipped, match="identical"):
        parse({**PKU, "response_0": "hello"})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {**PLAIN, "chosen_safe": True},
            "rows.jsonl, line 3: key 'rejected_safe' is missing or empty, and other safety labels are there\n"
            "  remedy: give chosen_safe, rejected_safe or none of them; for other names: data.columns={rejected_",
        ),
        ({**PLAIN, "chosen_safe": "", "rejected_safe": 1}, "key 'chosen_safe' is missing or empty"),
        ({**PLAIN, "chosen_safe": "maybe", "rejected_safe": 1}, "key 'chosen_safe' must be one of true, 1,"),
        ({**PLAIN, "chosen_safe": 1, "rejected_safe": 1, "safer": 1}, "key 'safer' must be one of chosen, rejected"),
        ({k: v for k, v in PKU.items() if k != "is_response_1_safe"}, "key 'is_response_1_safe' is missing or empty"),
        ({**PKU, "safer_response_id": None}, "key 'safer_response_id' is missing or empty"),
        ({k: v for k, v in PKU.items() if k != "better_response_id"}, "key 'better_response_id' is missing"),
        ({**PKU, "better_response_id": 2}, "key 'better_response_id' must be one of 0, 1, got 2"),
        ({k: v for k, v in PKU.items() if k != "prompt"}, "key 'prompt' is missing"),
    ],
)
def test_faults_are_named_with_their_place(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        parse(row)


def test_columns_may_have_other_names() -> None:
    row = {**PLAIN, "ok_a": True, "ok_b": False}
    assert parse(row, columns={"chosen_safe": "ok_a", "rejected_safe": "ok_b"}).safety == Safety((False, True), 1)


@pytest.mark.parametrize("labels", [{}, {"chosen_safe": True, "rejected_safe": False}])
def test_a_source_has_the_view_when_any_row_has_the_labels(tmp_path: Any, labels: dict[str, bool]) -> None:
    rows = [{**PLAIN, "prompt": f"question {i}", **(labels if i % 2 else {})} for i in range(40)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = files_source(FilesConfig(path=str(path)))
    assert (Data.SAFETY in source.native) is bool(labels)
    assert Data.PAIRS in source.native
    assert source.safety_columns == ("chosen_safe", "rejected_safe")
    judged = [pair.safety for split in Split for pair in source.pairs(split) if pair.safety]
    assert judged == [Safety((False, True), 1)] * (20 if labels else 0)


def pair(safety: Safety | None) -> Pair:
    return Pair(Prompt(id="t", text="the cat is"), Completion("the hat is red"), Completion("tap it"), safety=safety)


def test_labels_survive_storage(tmp_path: Any) -> None:
    pairs = [pair(Safety((True, False), 0)), pair(None), pair(Safety((True, True), None))]
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    assert read_pairs(tmp_path / "pairs.jsonl") == pairs
    assert "harmful" not in (tmp_path / "pairs.jsonl").read_text().splitlines()[1]


def test_the_worse_completion_comes_first_in_tokens_and_batches() -> None:
    tokenizer = tok.build("words")
    labels = [
        Safety((True, False), 0),
        None,
        Safety((False, True), 1),
        Safety((False, True), 0),
        Safety((True, True), None),
    ]
    rows, report = tokenise(Data.SAFETY, [pair(each) for each in labels], tokenizer, Limits(500))
    assert [row.row for row in rows] == [0, 2, 3, 4]
    assert report.rows == 4
    hat, tap = rows[0].worse.tolist(), rows[0].better.tolist()
    assert [row.worse.tolist() for row in rows] == [hat, tap, hat, hat]
    assert [row.harmful for row in rows] == [(True, False), (True, False), (False, True), (True, True)]
    batch = Collator(0).view(Data.SAFETY)(rows, torch.arange(4))
    assert [reply for _, reply in batch.sequences.split()] == [hat, tap, hat, hat, tap, hat, tap, tap]
    assert batch.ordered.tolist() == [True, True, True, False]
    cut = batch.select(torch.tensor([3, 1]))
    assert [reply for _, reply in cut.sequences.split()] == [hat, tap, tap, hat]
    assert cut.harmful.tolist() == [[True, True], [True, False]]
    assert (cut.ordered.tolist(), cut.index.tolist()) == ([False, True], [3, 1])
    assert batch.lengths.tolist() == [len(hat) + len(tap) + len(rows[0].prompt)] * 4


def test_no_label_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="no safety labels left to train on"):
        tokenise(Data.SAFETY, [pair(None)], tok.build("words"), Limits(500))


def test_swapping_twice_is_nothing() -> None:
    for each in (Safety((True, False), 0), Safety((True, True), None), Safety((False, True), 1)):
        assert each.swapped.swapped == each
    assert Safety((True, False), 0).swapped == Safety((False, True), 1)
