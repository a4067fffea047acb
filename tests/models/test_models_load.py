"""Loading: fresh weights by seed, no dropout anywhere, and clear refusals."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from small import NO_SPECIAL, gemma2, gpt2, llama
from transformers import PreTrainedModel

from alignlab.errors import ModelError
from alignlab.models.config import Dtype, HfModel, TinyModel
from alignlab.models.load import (
    check_location,
    new_model,
    pretrained,
    pretrained_tokenizer,
    settled,
    stored,
)
from alignlab.worlds.desk.tokenizer import build

IDS = torch.randint(10, (2, 6), generator=torch.Generator().manual_seed(0))
TINY = TinyModel(hidden=16, layers=1, heads=2, intermediate=16, max_positions=32)
WIDTH = dict(vocab_size=13, hidden_size=16, **NO_SPECIAL)
STOCHASTIC: dict[str, dict[str, Any]] = {
    "GPT2": dict(vocab_size=13, n_embd=16, n_layer=1, n_head=2, resid_pdrop=0.4, embd_pdrop=0.4, attn_pdrop=0.4),
    "GPTNeoX": WIDTH
    | dict(num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, hidden_dropout=0.4, attention_dropout=0.4),
    "Llama": WIDTH | dict(num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, attention_dropout=0.4),
    "OPT": WIDTH
    | dict(num_hidden_layers=3, num_attention_heads=2, ffn_dim=16, word_embed_proj_dim=16, dropout=0.4, layerdrop=0.5),
    "Bloom": WIDTH | dict(n_layer=1, n_head=2, hidden_dropout=0.4, attention_dropout=0.4),
    "Falcon": WIDTH | dict(num_hidden_layers=1, num_attention_heads=2, hidden_dropout=0.4, attention_dropout=0.4),
    "Mixtral": WIDTH
    | dict(
        num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, intermediate_size=16, router_jitter_noise=0.4
    ),
}


def stochastic(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**STOCHASTIC[name], attn_implementation="eager")
    return transformers.AutoModelForCausalLM.from_config(config)


def repeats(model: PreTrainedModel) -> bool:
    """Whether several forward passes in train mode agree bit for bit."""
    model.train()
    first = model(input_ids=IDS).logits
    return all(torch.equal(model(input_ids=IDS).logits, first) for _ in range(8))


@pytest.mark.parametrize("name", STOCHASTIC)
def test_nothing_random_is_left_in_train_mode(name: str) -> None:
    assert not repeats(stochastic(name)), "the model must be random at first, or this shows nothing"
    assert repeats(settled(stochastic(name)))


def test_models_read_from_disk_have_no_dropout(tmp_path: Path) -> None:
    stochastic("GPT2").save_pretrained(tmp_path)
    assert repeats(stored(tmp_path))
    assert repeats(pretrained(HfModel(path=str(tmp_path))))


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_weights_are_held_in_the_dtype_asked_for(tmp_path: Path, kind: str) -> None:
    llama(dtype=torch.float32).save_pretrained(tmp_path)
    model = pretrained(HfModel(path=str(tmp_path), dtype=Dtype[kind]))
    assert {p.dtype for p in model.parameters()} == {getattr(torch, kind)}


def test_what_is_stored_comes_back_bit_for_bit(tmp_path: Path) -> None:
    model = gpt2(dtype=torch.float32)
    model.save_pretrained(tmp_path)
    build("small").save_pretrained(tmp_path)
    again = stored(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert pretrained_tokenizer(HfModel(path=str(tmp_path))).get_vocab() == build("small").get_vocab()


def test_fresh_weights_depend_on_the_seed_alone() -> None:
    tokenizer = build("small")
    torch.manual_seed(1)
    first = new_model(TINY, tokenizer, 7)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = new_model(TINY, tokenizer, 7)
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.lm_head.weight, new_model(TINY, tokenizer, 8).lm_head.weight)
    assert first.config.vocab_size == len(tokenizer)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    llama(dtype=torch.float32).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_good_directory_is_local_and_a_bare_name_is_not(folder: Path) -> None:
    assert check_location(str(folder))
    assert not check_location("gpt2")
    assert not check_location("organisation/model")


@pytest.mark.parametrize("path", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all", "a/b/c"])
def test_a_directory_that_is_not_there(path: str) -> None:
    with pytest.raises(ModelError, match=rf"model.path='{path}': there is no such directory\n  remedy: correct the"):
        check_location(path)


def test_a_file_is_not_a_directory(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"config.json' is a file, not a model directory\n  remedy: pass the folder"):
        check_location(str(folder / "config.json"))


def test_a_directory_without_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"is not a model directory: it has no config.json\n.*save_pretrained"):
        check_location(str(folder))


def test_a_damaged_config(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"config.json is not valid JSON: .*\n  remedy: restore the file"):
        check_location(str(folder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "weights.pth"])
def test_pickled_weights_are_refused_by_name(folder: Path, name: str) -> None:
    shutil.move(folder / "model.safetensors", folder / name)
    with pytest.raises(ModelError, match=rf"holds pickled weights \({name}\), which can run code(.|\n)*safe_serializ"):
        pretrained(HfModel(path=str(folder)))


def test_a_directory_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds no \*.safetensors weights\n  remedy: pass a complete model directory"):
        check_location(str(folder))


def test_an_unknown_architecture_is_a_message_not_a_traceback(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "no-such-model"}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"could not be loaded: (.|\n)*remedy: check the directory"):
        pretrained(HfModel(path=str(folder)))


def test_truncated_weights_are_a_message_not_a_traceback(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"could not be loaded: (.|\n)*remedy: check the directory"):
        pretrained(HfModel(path=str(folder)))


def test_an_attention_the_architecture_does_not_have_is_named_with_the_one_it_has(tmp_path: Path) -> None:
    gemma2(dtype=torch.float32).save_pretrained(tmp_path)
    with pytest.raises(
        ModelError, match=r"Gemma2ForCausalLM does not support .*\n  remedy: pass model.attention=eager"
    ):
        pretrained(HfModel(path=str(tmp_path)))
    assert pretrained(HfModel(path=str(tmp_path), attention="eager")).config.vocab_size == 13
