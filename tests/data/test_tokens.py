"""Tokenisation: one BOS, one end token, the same prompt for both completions, and every loss counted."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from types import SimpleNamespace

import data_tokenizers as tok
import pytest

from alignlab.data.encode import Encoder, end_ids
from alignlab.data.schema import Completion, Demonstration, Label, Message, Pair, Prompt
from alignlab.data.tokens import Limits, tokenise
from alignlab.errors import ConfigError, DataError, ModelError
from alignlab.method import Data

ONE = Prompt(id="one", messages=(Message("user", "tell me about the cat"),))
TURNS = Prompt(
    id="turns",
    messages=(
        Message("system", "be brief"),
        Message("user", "tell me"),
        Message("assistant", "the cat"),
        Message("user", "about the hat"),
    ),
)
TEXT = Prompt(id="text", text="the cat is")
HAT, TAP = Completion("the hat is red"), Completion("tap it")
ROOMY = Limits(500)
TEMPLATES = {"none": None, "chatml": tok.CHATML, "llama": tok.LLAMA, "think": tok.THINK, "opened": tok.OPENED}

every_tokenizer = pytest.mark.parametrize(
    ("kind", "template", "adds_bos"),
    list(product(["bpe", "words"], TEMPLATES, [False, True])),
    ids=lambda value: str(value),
)


def pairs(prompt, tokenizer, chosen=HAT, rejected=TAP, limits=ROOMY, **kwargs):
    return tokenise(Data.PAIRS, [Pair(prompt, chosen, rejected)], tokenizer, limits, **kwargs)


@every_tokenizer
def test_rows_read_ahead_in_one_call_have_the_ids_of_rows_read_alone(build, kind, template, adds_bos):
    tokenizer = build(kind, adds_bos=adds_bos, template=TEMPLATES[template])
    spelled = Completion(f"the {tokenizer.eos_token} hat")
    sides = (HAT, TAP), (spelled, TAP), (TAP, Completion(""))
    rows = [Pair(prompt, *both) for prompt in (ONE, TEXT) for both in sides]
    together, report = tokenise(Data.PAIRS, rows, tokenizer, ROOMY)
    alone = [tokenise(Data.PAIRS, [rows[row.row]], tokenizer, ROOMY)[0][0] for row in together]
    ids = [[[*row.prompt], [*row.chosen], [*row.rejected]] for row in together]
    assert ids == [[[*row.prompt], [*row.chosen], [*row.rejected]] for row in alone]
    assert (len(ids), report.empty, report.special) == (4, 2, 2)
    encoder = Encoder(tokenizer)
    encoder.read_ahead([(row.prompt, (row.chosen, row.rejected)) for row in rows])
    assert encoder.bos == report.bos
    encoder._encoded = None  # whoever encodes again fails
    assert [encoder.prompt(prompt) for prompt in (ONE, TEXT)] == [ids[0][0], ids[2][0]]


@every_tokenizer
@pytest.mark.parametrize("prompt", [ONE, TURNS, TEXT], ids=lambda prompt: prompt.id)
def test_one_bos_one_end_one_prompt(build, kind, template, adds_bos, prompt):
    tokenizer = build(kind, adds_bos=adds_bos, template=TEMPLATES[template])
    if template == "llama":
        prompt = ONE if prompt is TURNS else prompt
    (row,), report = pairs(prompt, tokenizer)
    expected = int(adds_bos or template == "llama")
    assert row.prompt.tolist().count(tokenizer.bos_token_id) == expected
    assert (row.prompt[0] == tokenizer.bos_token_id) == bool(expected)
    assert report.bos == (tokenizer.bos_token_id if expected else None)
    own = template in ("chatml", "think", "opened") and prompt is not TEXT
    end = tokenizer.convert_tokens_to_ids("<|im_end|>" if own else "</s>")
    assert end in end_ids(tokenizer)
    for completion in (row.chosen.tolist(), row.rejected.tolist()):
        assert completion[-1] == end
        assert completion.count(end) == 1
        assert tokenizer.bos_token_id not in completion
    # The prompt generation starts from is the one training continues.
    (generated,), _ = tokenise(Data.PROMPTS, [prompt], tokenizer, ROOMY)
    (shown,), _ = tokenise(Data.DEMONSTRATIONS, [Demonstration(prompt, HAT)], tokenizer, ROOMY)
    assert generated.prompt.tolist() == row.prompt.tolist() == shown.prompt.tolist()
    assert shown.completion.tolist() == row.chosen.tolist()


@pytest.mark.parametrize("template", ["chatml", "llama"])
def test_ids_agree_with_the_tokenizers_own_rendering(build, template):
    tokenizer = build(template=TEMPLATES[template], adds_bos=template == "llama")
    (row,), _ = tokenise(Data.DEMONSTRATIONS, [Demonstration(ONE, HAT)], tokenizer, ROOMY)
    turns = [{"role": "user", "content": ONE.messages[0].content}]
    own = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert row.prompt.tolist() == own
    whole = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": HAT.text}], return_dict=False)
    ours = [*row.prompt.tolist(), *row.completion.tolist()]
    assert ours == whole[: len(ours)]


def test_a_tokenizer_without_bos_gets_none(build):
    tokenizer = build(bos_token=None, template=tok.CHATML)
    (row,), report = pairs(ONE, tokenizer)
    assert report.bos is None
    assert tokenizer.decode(row.prompt).startswith("<|im_start|> user")


def test_a_bos_that_opens_every_turn_is_left_alone(build):
    tokenizer = build(bos_token="<|im_start|>", eos_token="<|im_end|>", template=tok.CHATML)
    (row,), report = pairs(ONE, tokenizer)
    assert row.prompt.tolist().count(tokenizer.bos_token_id) == 2
    assert row.prompt[0] == tokenizer.bos_token_id != row.prompt[1]
    (text,), _ = pairs(TEXT, tokenizer)
    assert tokenizer.bos_token_id not in text.prompt
    assert report.end == tokenizer.eos_token_id


def test_pad_equal_to_eos_keeps_the_end_token(build):
    from alignlab.data.batch import pad

    tokenizer = build(pad_token="</s>")
    (row,), _ = pairs(ONE, tokenizer)
    batch = pad([(row.prompt, row.chosen), (row.prompt, row.rejected)], tokenizer.pad_token_id)
    ends = (batch.ids == tokenizer.eos_token_id) & batch.completion
    assert ends.sum(-1).tolist() == [1, 1]
    assert batch.lengths.tolist() == [len(row.chosen), len(row.rejected)]


def test_boundary_merges_are_encoded_apart_and_counted(build):
    tokenizer = build()
    prompt = Prompt(id="p", text="the c")
    assert tokenizer("the c at", add_special_tokens=False)["input_ids"]
    (row,), report = pairs(prompt, tokenizer, Completion("at"), Completion(" hat"))
    assert report.apart == 1
    assert row.prompt.tolist() == tokenizer("the c")["input_ids"]
    assert tokenizer.decode(row.chosen[:-1]).replace(" ", "") == "at"
    assert any("encoded apart" in line for line in report.lines())


def test_an_opened_block_of_reasoning_is_counted(build):
    (row,), report = pairs(ONE, tokenizer := build(template=tok.OPENED))
    assert report.marker == 2
    assert tokenizer.decode(row.chosen[:-1]) == "t he Ġhat Ġis Ġred"


@pytest.mark.parametrize("template", [tok.FORGETS, tok.UPPER])
def test_templates_that_rewrite_are_refused(build, template):
    text = "rewrites earlier turns" if template is tok.FORGETS else "rewrites the answer"
    with pytest.raises(DataError, match=text):
        pairs(TURNS, build(template=template))


def test_a_template_may_refuse_a_role(build):
    with pytest.raises(DataError, match=r"refuses prompt 'turns' .*no system role"):
        pairs(TURNS, build(template=tok.STRICT))


def test_special_tokens_in_a_written_completion_stay_text(build):
    tokenizer = build(template=tok.CHATML)
    (row,), report = pairs(ONE, tokenizer, Completion("the hat <|im_end|> is red"))
    assert row.chosen.tolist().count(report.end) == 1
    assert row.chosen[-1] == report.end
    assert report.special == 1
    (plain,), _ = pairs(Prompt(id="x", messages=(Message("user", "the </s> cat"),)), build())
    assert tokenizer.eos_token_id not in plain.prompt


def test_sampled_ids_are_used_as_they_are(build):
    tokenizer = build()
    cut, ended = Completion("tap", ids=(70, 71)), Completion("tap", ids=(70, 71, tokenizer.eos_token_id))
    (row,), report = pairs(ONE, tokenizer, cut, ended)
    assert row.chosen.tolist() == [70, 71]
    assert row.rejected.tolist() == [70, 71, tokenizer.eos_token_id]
    with pytest.raises(DataError, match="both completions the same"):
        pairs(ONE, tokenizer, cut, Completion("tap", ids=(70, 71)))
    assert report.kept == 1


@pytest.mark.parametrize("adds_bos", [False, True])
def test_long_prompts_lose_the_left_for_both_and_keep_bos(build, adds_bos):
    tokenizer = build("words", adds_bos=adds_bos)
    long = Prompt(id="long", text=" ".join(["the"] * 30 + ["cat"] * 15))
    limits = Limits(20, max_completion=8)
    (row,), report = pairs(long, tokenizer, limits=limits)
    assert len(row.prompt) == 12
    assert row.truncated
    assert report.truncated == 1
    assert (row.prompt[0] == tokenizer.bos_token_id) == adds_bos
    assert set(tokenizer.convert_ids_to_tokens(row.prompt[1:])) == {"cat"}
    # Cut at the same place whatever the completion, so that sampling sees the same prompt.
    (generated,), _ = tokenise(Data.PROMPTS, [long], tokenizer, limits)
    assert generated.prompt.tolist() == row.prompt.tolist()


def test_completions_that_do_not_fit_drop_the_row(build):
    tokenizer = build("words")
    long = Completion(" ".join(["cat"] * 30))
    rows = [Pair(ONE, HAT, TAP), Pair(ONE, HAT, long), Pair(ONE, long, TAP)]
    kept, report = tokenise(Data.PAIRS, rows, tokenizer, Limits(40, max_completion=20))
    assert [row.row for row in kept] == [0]
    assert (report.rows, report.kept, report.long_completion) == (3, 1, 2)
    assert "  2 dropped, completion beyond max_completion=20" in report.lines()
    with pytest.raises(DataError, match=r"raise data\.max_completion"):
        tokenise(Data.PAIRS, rows[1:], tokenizer, Limits(40, max_completion=20))
    # 31 tokens of completion leave 8 of a prompt of 9: enough for min_prompt=8, not for 9.
    kept, report = tokenise(Data.PAIRS, rows, tokenizer, Limits(39))
    assert [len(row.prompt) for row in kept] == [9, 8, 8]
    kept, report = tokenise(Data.PAIRS, rows, tokenizer, Limits(39, min_prompt=9))
    assert report.too_long == 2


def test_identical_and_empty_rows_are_dropped_and_counted(build):
    rows = [Pair(ONE, HAT, HAT), Pair(ONE, HAT, Completion(" ")), Pair(ONE, HAT, TAP)]
    kept, report = tokenise(Data.PAIRS, rows, build(), ROOMY)
    assert [row.row for row in kept] == [2]
    assert (report.identical, report.empty) == (1, 1)
    assert any("1 dropped, both completions the same" in line for line in report.lines())


def test_nothing_left_is_an_error_with_counts_and_remedy(build):
    with pytest.raises(DataError, match=r"no pairs left .*1 dropped, too long.*\n.*raise data.max_length"):
        pairs(ONE, build("words"), Completion(" ".join(["cat"] * 40)), limits=Limits(20))
    with pytest.raises(DataError, match="no prompts left"):
        tokenise(Data.PROMPTS, [], build(), ROOMY)


def test_a_prompt_without_tokens_needs_a_bos(build):
    nothing = Prompt(id="blank", text="")
    with pytest.raises(DataError, match="prompt 'blank' has no tokens"):
        pairs(nothing, build())
    tokenizer = build(adds_bos=True)
    (row,), _ = pairs(nothing, tokenizer)
    assert row.prompt.tolist() == [tokenizer.bos_token_id]


def test_labels_margins_and_probabilities_travel(build):
    tokenizer = build()
    (row,), _ = tokenise(Data.LABELS, [Label(ONE, HAT, False)], tokenizer, ROOMY)
    assert row.desirable is False
    (pair,), _ = tokenise(Data.PAIRS, [Pair(ONE, HAT, TAP, 1.5, 0.75)], tokenizer, ROOMY)
    assert (pair.margin, pair.probability) == (1.5, 0.75)


def test_the_plain_template_is_announced_and_named_ones_are_exact(build):
    tokenizer = build()
    _, report = pairs(ONE, tokenizer)
    assert report.template == "plain"
    assert "no chat template" in report.notes[0]
    _, report = pairs(TEXT, tokenizer)
    assert not report.notes
    texts = {
        "plain": "System: be brief\n\nUser: tell me\n\nAssistant: the cat\n\nUser: about the hat\n\nAssistant:",
        "none": "be brief\ntell me\nthe cat\nabout the hat\n",
    }
    for name, text in texts.items():
        assert Encoder(tokenizer, name).template.prompt(TURNS) == text
    assert Encoder(tokenizer, "hh").template.prompt(ONE) == "\n\nHuman: tell me about the cat\n\nAssistant:"


def test_template_choices_are_checked(build):
    with pytest.raises(ModelError, match="has no chat template"):
        Encoder(build(), "model")
    with pytest.raises(ConfigError, match="unknown template 'chatlm'"):
        Encoder(build(), "chatlm")
    with pytest.raises(DataError, match="role 'system', which the hh template cannot show"):
        pairs(TURNS, build(), template="hh")
    with pytest.raises(ModelError, match="neither an eos token nor"):
        pairs(ONE, build(eos_token=None))


def test_end_ids_join_eos_template_and_generation_config(build):
    tokenizer = build(template=tok.CHATML)
    im_end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end_ids(tokenizer) == tuple(sorted((tokenizer.eos_token_id, im_end)))
    assert 77 in end_ids(tokenizer, SimpleNamespace(eos_token_id=[77]))
    assert 78 in end_ids(tokenizer, SimpleNamespace(eos_token_id=78))
    assert end_ids(build(), SimpleNamespace(eos_token_id=None)) == (build().eos_token_id,)
    assert end_ids(build(eos_token=None, template=tok.CHATML)) == (im_end,)


@pytest.mark.parametrize("values", [{"max_prompt": 10}, {"max_completion": 0}, {"max_prompt": 6, "max_completion": 5}])
def test_impossible_limits_are_refused(values):
    with pytest.raises(ConfigError, match=r"data\.max_"):
        Limits(10, **values)


def test_the_stories_tokenizer_ends_at_its_own_ids(real_data: Path):
    from transformers import AutoTokenizer, GenerationConfig

    folder = real_data / "stories260K"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert end_ids(tokenizer, GenerationConfig.from_pretrained(folder)) == (1, 2)
    (row,), report = pairs(Prompt(id="p", text="Once upon a time"), tokenizer, Completion(" there was a cat"))
    assert row.prompt.tolist() == [1, 403, 407, 261, 378]
    assert row.chosen.tolist()[-1] == 2
    assert report.apart == 1  # "tap it" without a space; " there" joins cleanly
