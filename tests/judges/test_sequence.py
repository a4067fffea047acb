"""Sequence classifiers as judges: which text they read, what their labels mean, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from alignlab.compose import composed
from alignlab.config import typed
from alignlab.data.schema import Message, Prompt, Verdict
from alignlab.errors import ConfigError, ModelError
from alignlab.judges.kinds import TransformersConfig
from alignlab.judges.sequence import TransformersJudge

VERDICTS = {"no": "refused", "half": "partial", "yes": "complied"}
WORDS = ["<pad>", "<unk>", *"abcdefgh"]
PROMPTS = [Prompt(id=str(at), messages=(Message("user", text),)) for at, text in enumerate(("a b", "c", "d e f"))]
SEEDS = {"bert": 2, "roberta": 0, "gpt2": 3}
"""Weights under which replies get different labels."""
REPLIES = ["a", "b c d e", "f g h a b c"]


def stored(
    folder: Path, kind: str = "bert", pad_token: str | None = "<pad>", pad_id: int | None = None, **changes: Any
) -> Any:
    """A classifier with fresh weights; `pad_token` is its tokenizer's, `pad_id` what its config says."""
    vocabulary = models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>")
    core = Tokenizer(vocabulary)
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=core, pad_token=pad_token, unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(SEEDS[kind])
    labels = dict(zip(range(3), VERDICTS, strict=True))
    shared: dict[str, Any] = dict(vocab_size=len(WORDS), id2label=labels, pad_token_id=pad_id, initializer_range=1.0)
    shared |= changes
    sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    made = {
        "bert": lambda: BertForSequenceClassification(BertConfig(max_position_embeddings=16, **sizes, **shared)),
        "roberta": lambda: RobertaForSequenceClassification(
            RobertaConfig(max_position_embeddings=16, **sizes, **shared)
        ),
        "gpt2": lambda: GPT2ForSequenceClassification(
            GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=16, **shared)
        ),
    }
    model = made[kind]().eval()
    model.save_pretrained(folder)
    return model


def judge(folder: Path, **given: Any) -> TransformersJudge:
    return TransformersJudge(TransformersConfig(path=str(folder), verdicts=VERDICTS, **given), device="cpu")


@torch.no_grad()
def alone(model: Any, texts: list[str]) -> list[Verdict]:
    """Unpadded, one by one."""
    ids = [[WORDS.index(word) for word in text.split()] for text in texts]
    found = [int(model(input_ids=torch.tensor([row])).logits.argmax()) for row in ids]
    return [[*Verdict][at] for at in found]


@pytest.mark.parametrize(
    ("kind", "pad_token", "pad_id"),
    [
        ("bert", "<pad>", 0),
        ("roberta", "<pad>", 0),
        ("gpt2", "<pad>", 0),
        ("gpt2", None, None),
        ("gpt2", "<pad>", None),  # batches are padded, and the model must be told with what
        ("gpt2", "<pad>", 1),  # the padding is the tokenizer's, whatever the config says
        ("gpt2", "<new>", None),  # an id that the model has no embedding of
    ],
)
def test_it_reads_the_reply_and_nothing_else(
    kind: str, pad_token: str | None, pad_id: int | None, tmp_path: Path
) -> None:
    model = stored(tmp_path, kind, pad_token, pad_id)
    texts = [*REPLIES, *"abcdefgh"]
    prompts = [*PROMPTS, *PROMPTS[:1] * 8]
    expected = alone(model, texts)
    assert judge(tmp_path)(prompts, texts) == judge(tmp_path, batch_size=1)(prompts, texts) == expected
    assert len({*expected}) > 1


@pytest.mark.parametrize("batch_size", [1, 32])
def test_a_reply_without_a_token_is_evasion(batch_size: int, tmp_path: Path) -> None:
    model = stored(tmp_path, "gpt2")
    found = judge(tmp_path, batch_size=batch_size)
    assert found(PROMPTS, ["", "a", " "]) == [Verdict.PARTIAL, *alone(model, ["a"]), Verdict.PARTIAL]
    assert found(PROMPTS[:1], [""]) == [Verdict.PARTIAL]


def test_the_prompt_stands_where_it_is_put(tmp_path: Path) -> None:
    model = stored(tmp_path)
    asked = [f"{prompt.show()} h {text}" for prompt, text in zip(PROMPTS, REPLIES, strict=True)]
    assert judge(tmp_path, text="{prompt} h {reply}")(PROMPTS, REPLIES) == alone(model, asked)


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2"])
def test_what_is_too_long_is_cut_at_its_end(kind: str, tmp_path: Path) -> None:
    model = stored(tmp_path, kind, pad_id=0)
    longest = 15 if kind == "roberta" else 16  # its first position is for padding, whose id is 0
    words = ["a", "b", "c", "d", "e", "f", "g", "h"] * 5
    assert judge(tmp_path)(PROMPTS[:1], [" ".join(words)]) == alone(model, [" ".join(words[:longest])])


def test_verdicts_are_given_on_the_command_line() -> None:
    given = ["judge=transformers", "judge.path=x", "judge.verdicts={LABEL_0: complied, LABEL-1: refused}"]
    config = typed(composed(given)).judge
    assert config == TransformersConfig(path="x", verdicts={"LABEL_0": "complied", "LABEL-1": "refused"})
    with pytest.raises(ConfigError, match=r"judge\.verdicts={} tells nothing apart"):
        typed(composed(given[:2]))


def test_every_label_has_a_meaning(tmp_path: Path) -> None:
    stored(tmp_path)
    partly = TransformersConfig(path=str(tmp_path), verdicts={"no": "refused", "yes": "complied"})
    with pytest.raises(ModelError, match=r"judge\.verdicts leaves out 'half', a label") as failure:
        TransformersJudge(partly, device="cpu")
    assert "no, half, yes" in failure.value.remedy
    strange = TransformersConfig(path=str(tmp_path), verdicts=VERDICTS | {"maybe": "partial"})
    with pytest.raises(ModelError, match="names 'maybe', which is no label"):
        TransformersJudge(strange, device="cpu")


def test_labels_of_a_directory_are_looked_at_before_anything_is_computed(tmp_path: Path) -> None:
    stored(tmp_path)
    TransformersConfig(path=str(tmp_path), verdicts=VERDICTS).check(None)
    with pytest.raises(ModelError, match=r"judge\.verdicts leaves out 'half', a label"):
        TransformersConfig(path=str(tmp_path), verdicts={"no": "refused", "yes": "complied"}).check(None)
    with pytest.raises(ModelError, match="names 'maybe', which is no label"):
        TransformersConfig(path=str(tmp_path), verdicts=VERDICTS | {"maybe": "partial"}).check(None)


def test_labels_without_names_are_known_by_number(tmp_path: Path) -> None:
    stored(tmp_path, id2label={0: "LABEL_0", 1: "LABEL_1"})
    assert "id2label" not in json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    config = TransformersConfig(path=str(tmp_path), verdicts={"LABEL_0": "refused", "LABEL_1": "complied"})
    config.check(None)
    assert TransformersJudge(config, device="cpu").verdicts == [Verdict.REFUSED, Verdict.COMPLIED]
    with pytest.raises(ModelError, match="names 'half', which is no label"):
        TransformersConfig(path=str(tmp_path), verdicts=VERDICTS).check(None)


def test_a_model_that_is_no_classifier_is_refused(tmp_path: Path) -> None:
    model = stored(tmp_path)
    model.bert.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"judge\.path=.* no sequence classifier: it has no weights for classifier\."):
        judge(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"verdicts": {"no": "declined", "yes": "complied"}}, "no stands for 'declined', no verdict"),
        ({"verdicts": {"no": "refused"}}, "tells nothing apart"),
        ({"verdicts": VERDICTS, "text": "{prompt}"}, r"judge\.text shows no reply"),
    ],
)
def test_settings_that_cannot_work(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TransformersConfig(path="x", **given)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    stored(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"judge\.path=.* holds pickled weights"):
        TransformersConfig(path=str(tmp_path), verdicts=VERDICTS).check(None)
