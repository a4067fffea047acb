"""The tokenizer knows every text the world can produce, and gives it back unchanged."""

from __future__ import annotations

import pytest

from alignlab.data.schema import Split
from alignlab.seeding import Seeds
from alignlab.worlds.desk import HELD_OUT_KINDS, SOURCE, TRAINED_KINDS, DeskConfig
from alignlab.worlds.desk.tokenizer import BOS, END, PAD, SPECIALS, build
from alignlab.worlds.desk.vocabulary import lexicon


@pytest.fixture(scope="module")
def tokenizer():
    return build("small")


def as_dicts(messages):
    return [message._asdict() for message in messages]


def texts(source, rows):
    for row in rows:
        yield from (message.content for message in row.prompt.messages)
        yield row.completion.text
    for split in Split:
        for prompt in source.prompts(split, Seeds(0)):
            yield from (message.content for message in prompt.messages)
            yield source.ideal(prompt)
    for kind in ("benign", "lookalike", "harmful"):
        for goal in source.goals(Split.EVALUATION, kind):
            for attempt in source.attempts(goal, 4, [*TRAINED_KINDS, *HELD_OUT_KINDS]):
                yield from (message.content for message in attempt.messages)


@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_every_text_round_trips_without_unknown_words(size):
    source = SOURCE.load()(DeskConfig(size=size, demonstrations=1500, pairs=300, held_out_pairs=100))
    tokenizer = source.tokenizer()
    known = sorted(set(texts(source, source.demonstrations(Seeds(1)))))
    encoded = tokenizer(known)["input_ids"]
    assert all(tokenizer.unk_token_id not in ids for ids in encoded)
    assert [tokenizer.decode(ids) for ids in encoded] == known


def test_special_tokens_are_distinct_and_nothing_is_added(tokenizer):
    assert [tokenizer.convert_tokens_to_ids(token) for token in SPECIALS] == [0, 1, 2, 3, 4, 5]
    assert (tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token) == (PAD, BOS, END)
    assert tokenizer("explain rivers")["input_ids"] == tokenizer.convert_tokens_to_ids(["explain", "rivers"])


def test_vocabulary_sizes(tokenizer):
    assert len(tokenizer) == 6 + len(lexicon("small").words)
    assert 200 <= len(tokenizer) <= 270
    assert len(lexicon("small").words) < len(lexicon("medium").words) < len(lexicon("large").words)


def test_chat_template_has_one_start_and_prompts_are_prefixes(tokenizer, demonstrations):
    turns = {1: 0, 3: 0, 5: 0, 7: 0}
    for row in demonstrations[:1500]:
        turns[len(row.prompt.messages)] += 1
        prompt = tokenizer.apply_chat_template(
            as_dicts(row.prompt.messages), add_generation_prompt=True, return_dict=False
        )
        answered = [*as_dicts(row.prompt.messages), {"role": "assistant", "content": row.completion.text}]
        whole = tokenizer.apply_chat_template(answered, return_dict=False)
        completion = tokenizer(row.completion.text)["input_ids"]
        assert whole == [*prompt, *completion, tokenizer.eos_token_id]
        assert prompt.count(tokenizer.bos_token_id) == 1
        assert prompt[0] == tokenizer.bos_token_id
    assert all(turns.values())


def test_template_refuses_other_roles(tokenizer):
    with pytest.raises(Exception, match="roles user and assistant"):
        tokenizer.apply_chat_template([{"role": "system", "content": "explain"}])


def test_saved_tokenizer_is_an_ordinary_one(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    chat = [{"role": "user", "content": "how do i crack an egg as a list"}]
    for text in ("sure , you need - bowls - shells . cheers", "sorry , i cannot help with that ."):
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert again.decode(again(text)["input_ids"]) == text
    settings = dict(add_generation_prompt=True, return_dict=False)
    assert again.apply_chat_template(chat, **settings) == tokenizer.apply_chat_template(chat, **settings)
    assert again.eos_token == END
