"""Every accepted shape of a row, and every message about one that is not."""

from __future__ import annotations

import json

import pytest

from alignlab.data.readers import Record
from alignlab.data.schema import Demonstration, Label, Message, Pair, Prompt
from alignlab.data.shapes import Parser, Skipped, base_of, detect
from alignlab.data.transcripts import is_transcript, split_transcript
from alignlab.errors import DataError

USER, BOT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
OTHER = {"role": "assistant", "content": "bye"}
HUMAN, GPT = {"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}
HI = (Message("user", "hi"),)
HH = "\n\nHuman: hi\n\nAssistant: "


def parse(row, shape=None, **settings):
    parser = Parser(**settings)
    record = Record("rows.jsonl", "line 3", row)
    return parser.parse(record, shape or detect(record, parser))


PAIRS = {
    "text": {"prompt": "hi", "chosen": "hello", "rejected": "bye"},
    "messages": {"prompt": [USER], "chosen": [BOT], "rejected": [OTHER]},
    "one message each": {"prompt": [USER], "chosen": BOT, "rejected": OTHER},
    "prompt messages, completion text": {"prompt": [USER], "chosen": "hello", "rejected": "bye"},
    "prompt text, whole conversations": {"prompt": "hi", "chosen": [USER, BOT], "rejected": [USER, OTHER]},
    "prompt text, completion messages": {"prompt": "hi", "chosen": [BOT], "rejected": [OTHER]},
    "whole conversations": {"chosen": [USER, BOT], "rejected": [USER, OTHER]},
    "conversations": {"conversations": [HUMAN], "chosen": GPT, "rejected": {"from": "gpt", "value": "bye"}},
    "JSON text, as in CSV": {"prompt": json.dumps([USER]), "chosen": json.dumps([BOT]), "rejected": "bye"},
    "transcripts": {"chosen": HH + "hello", "rejected": HH + "bye"},
}


@pytest.mark.parametrize("shape", PAIRS)
def test_pairs(shape):
    pair = parse(PAIRS[shape])
    assert isinstance(pair, Pair)
    assert (pair.chosen.text, pair.rejected.text) == ("hello", "bye")
    assert pair.chosen.ids is None
    if shape == "text":
        assert pair.prompt.text == "hi"
    else:
        assert pair.prompt.messages == HI
    assert pair.prompt.base == base_of("hi")


def test_the_same_prompt_has_the_same_name_in_every_shape():
    chats = [parse(row).prompt.id for name, row in PAIRS.items() if name != "text"]
    assert len(set(chats)) == 1
    assert parse(PAIRS["text"]).prompt.id not in chats
    assert parse(PAIRS["text"], text_as="user").prompt.id in chats


def test_margin_probability_system_and_kind_travel():
    row = {**PAIRS["conversations"], "margin": 1.5, "probability": "0.8", "system": "be kind", "kind": "benign"}
    pair = parse(row)
    assert (pair.margin, pair.probability, pair.prompt.kind) == (1.5, 0.8, "benign")
    assert pair.prompt.messages == (Message("system", "be kind"), *HI)
    blank = parse({**PAIRS["text"], "margin": None, "probability": ""})
    assert (blank.margin, blank.probability) == (None, None)


def test_columns_can_have_other_names():
    row = {"question": "hi", "better": "hello", "worse": "bye"}
    pair = parse(row, columns={"prompt": "question", "chosen": "better", "rejected": "worse"})
    assert (pair.prompt.text, pair.chosen.text) == ("hi", "hello")


DEMONSTRATIONS = {
    "completion": {"prompt": "hi", "completion": "hello"},
    "response": {"prompt": "hi", "response": "hello"},
    "messages": {"messages": [USER, BOT]},
    "conversations": {"conversations": [HUMAN, GPT]},
    "chat": {"prompt": [USER], "completion": [BOT]},
}


@pytest.mark.parametrize("shape", DEMONSTRATIONS)
def test_demonstrations(shape):
    row = parse(DEMONSTRATIONS[shape])
    assert isinstance(row, Demonstration)
    assert row.completion.text == "hello"
    assert row.prompt.show() == "hi"


@pytest.mark.parametrize("shape", DEMONSTRATIONS)
@pytest.mark.parametrize("value", [True, False, 1, 0, -1, 1.0, "+1", "1", "good", "bad", "False", "TRUE"])
def test_labels(shape, value):
    expected = value in (True, "+1", "1", "good", "TRUE")
    row = parse({**DEMONSTRATIONS[shape], "label": value})
    assert isinstance(row, Label)
    assert row.desirable is expected
    assert parse({**DEMONSTRATIONS[shape], "kto_tag": value}).desirable is expected


def test_the_last_assistant_turn_is_the_completion():
    row = parse({"messages": [USER, BOT, {"role": "user", "content": "and?"}, OTHER]})
    assert row.completion.text == "bye"
    assert [turn.content for turn in row.prompt.messages] == ["hi", "hello", "and?"]
    assert row.prompt.base == base_of("hi")


def test_prompts_only_keep_columns_that_are_not_ours():
    row = parse({"id": "1", "prompt": "How can I kill a process?", "label": "safe"})
    assert isinstance(row, Prompt)
    assert row.text == "How can I kill a process?"


def test_text_that_looks_like_json_stays_text():
    row = parse({"prompt": '{"a": 1} is', "completion": "[{1}]"})
    assert row.prompt.text == '{"a": 1} is'
    assert row.completion.text == "[{1}]"


def test_the_base_ignores_case_space_and_unicode_form():
    assert base_of("  Hello\n THERE ") == base_of("hello there") == base_of("ｈello there")
    assert base_of("hello there") != base_of("hello there!")


SKIPPED = {
    "empty completion": {"prompt": "a", "chosen": "x", "rejected": "  "},
    "identical completions": {"prompt": "a", "chosen": "x ", "rejected": "x"},
    "completions that diverge": {"chosen": [USER, BOT], "rejected": [{**USER, "content": "ho"}, OTHER]},
    "completions that diverge before": {"chosen": HH + "x", "rejected": HH.replace("hi", "ho") + "y"},
    "empty prompt": {"prompt": " "},
}


@pytest.mark.parametrize("reason", SKIPPED)
def test_rows_without_content_are_skipped_with_a_reason(reason):
    with pytest.raises(Skipped, match=reason):
        parse(SKIPPED[reason])


MALFORMED = [
    ({"prompt": "a", "rejected": "y"}, r"key 'chosen' is missing \(keys there: prompt, rejected\)"),
    ({"prompt": "a", "chosen": None, "rejected": "y"}, "key 'chosen' is null"),
    ({"prompt": "a", "chosen": 3, "rejected": "y"}, "key 'chosen' must be text or a list of messages, got int"),
    ({"prompt": "a", "chosen": [], "rejected": "y"}, "key 'chosen' must be text .* got an empty list"),
    ({"prompt": ["hi"], "completion": "y"}, "key 'prompt', message 1: expected an object .* got str"),
    ({"prompt": [{"role": "user"}], "completion": "y"}, "message 1: content must be text, got null"),
    ({"prompt": [{"role": "tool", "content": "x"}], "completion": "y"}, "message 1: unknown role 'tool'"),
    ({"prompt": [USER, BOT], "completion": "y"}, "must end in a turn of the user, ends in assistant"),
    ({"messages": [USER]}, "conversation must end in a turn of the assistant"),
    ({"messages": [BOT]}, "must end in a turn of the user, ends in nothing"),
    ({"messages": None}, "key 'messages' is null"),
    ({"chosen": [USER], "rejected": [USER, OTHER]}, "key 'chosen' must end in a turn of the assistant"),
    ({"chosen": "x", "rejected": "y"}, "'prompt' is missing, and chosen and rejected are not whole conversations"),
    ({"prompt": "a", "completion": "b", "label": "maybe"}, "key 'label' must be one of .* got 'maybe'"),
    ({"prompt": "a", "completion": "b", "label": None}, "key 'label' is null"),
    ({"prompt": "a", "chosen": "x", "rejected": "y", "probability": 1.2}, r"must lie in \[0, 1\], got 1.2"),
    ({"prompt": "a", "chosen": "x", "rejected": "y", "margin": "big"}, "key 'margin' must be a number, got 'big'"),
    ({"completion": "b"}, "key 'prompt' is missing"),
    ({"question": "a", "answer": "b"}, "keys question, answer are no shape of rows we know"),
]


@pytest.mark.parametrize(("row", "message"), MALFORMED)
def test_malformed_rows_name_file_row_key_and_remedy(row, message):
    with pytest.raises(DataError, match=message) as caught:
        parse(row)
    assert caught.value.message.startswith("rows.jsonl, line 3: ")
    assert caught.value.remedy


def test_a_forced_shape_is_checked():
    with pytest.raises(DataError, match="'chosen' is not a transcript"):
        parse(PAIRS["text"], "transcripts")
    with pytest.raises(DataError, match="key 'messages' is missing"):
        parse({"x": 1}, "demonstrations")
    with pytest.raises(DataError, match="key 'completion' is missing"):
        parse({"prompt": "x"}, "demonstrations")
    with pytest.raises(DataError, match="key 'prompt' is missing"):
        parse({"x": 1}, "prompts")


def test_transcripts_split_at_the_last_assistant_turn():
    text = "\n\nHuman: a\n\nHuman: b \n\nAssistant: c\n\nHuman: d: Assistant: e\n\nAssistant: f\n\ng "
    assert is_transcript(text)
    turns, reply = split_transcript(text)
    assert turns == (Message("user", "a\n\nb"), Message("assistant", "c"), Message("user", "d: Assistant: e"))
    assert reply == "f\n\ng"
    assert not is_transcript("\n\nHuman: a")
    assert not is_transcript("hello\n\nAssistant: x")
