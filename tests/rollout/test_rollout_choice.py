"""Which engine a model gets, and when its log-probabilities are trusted."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_models import PROMPTS, gpt2, llama, sample
from torch import nn
from transformers import MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM

from alignlab.errors import ConfigError, ModelError
from alignlab.models.policy import Policy
from alignlab.rollout.engine import TOLERANCE, build_engine, consistency
from alignlab.rollout.llama_engine import LlamaEngine
from alignlab.rollout.llama_weights import unsupported
from alignlab.rollout.sampling import Sampling
from alignlab.rollout.transformers_engine import TransformersEngine

SHAPE = dict(
    vocab_size=50,
    hidden_size=32,
    intermediate_size=44,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    initializer_range=0.3,
    max_position_embeddings=64,
)


def build(model: nn.Module, kind: str = "auto"):
    return build_engine(model, Sampling(), [0], 0, kind=kind)


def test_auto_takes_the_builtin_engine_where_it_can():
    chosen = build(llama())
    assert isinstance(chosen, LlamaEngine)
    assert chosen.reason == "built-in engine, which supports this LlamaForCausalLM"


def test_auto_falls_back_and_says_why():
    chosen = build(gpt2())
    assert isinstance(chosen, TransformersEngine)
    assert "GPT2LMHeadModel is not one of LlamaForCausalLM" in chosen.reason


@pytest.mark.parametrize(("kind", "expected"), [("builtin", LlamaEngine), ("transformers", TransformersEngine)])
def test_an_engine_by_name(kind, expected):
    chosen = build(llama(), kind)
    assert isinstance(chosen, expected)
    assert chosen.reason.endswith("as configured")


def test_unknown_engine():
    with pytest.raises(ConfigError, match=r"rollout\.engine='fast' is unknown\n.*auto, builtin, transformers, vllm"):
        build(llama(), "fast")


def test_builtin_engine_refuses_what_it_does_not_know():
    with pytest.raises(ModelError, match="cannot run this model: GPT2LMHeadModel is not one of"):
        build(gpt2(), "builtin")
    with pytest.raises(ModelError, match="cannot run this model: GPT2LMHeadModel is not one of"):
        LlamaEngine(gpt2(), sampling=Sampling(), end_ids=(), pad_id=0)


def replaced(name: str, module: nn.Module):
    """A Llama with one module of its first layer exchanged."""
    model = llama()
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
    return model


class Adapted(nn.Linear):
    """Stands for any adapter or quantised layer."""


class Special(type(llama())):
    """A subclass may compute anything."""


def hooked():
    model = llama()
    model.model.layers[1].register_forward_hook(lambda module, inputs, output: None)
    return model


def parametrised():
    model = llama()
    nn.utils.parametrizations.weight_norm(model.model.layers[0].mlp.up_proj)
    return model


def extended():
    model = llama()
    model.model.layers[0].self_attn.q_norm = nn.Identity()
    return model


def partly_double():
    model = llama()
    model.lm_head.double()
    return model


def partly_rotated():
    model = llama()
    model.model.rotary_emb.inv_freq = model.model.rotary_emb.inv_freq[:2]
    return model


UNSUPPORTED = {
    "hidden_act is 'gelu'": lambda: llama(hidden_act="gelu"),
    "sliding window of 8": lambda: MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=8)),
    "sliding window of 4": lambda: Qwen2ForCausalLM(
        Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=4, max_window_layers=0)
    ),
    "rotary embedding of type 'dynamic'": lambda: llama(
        rope_parameters=dict(rope_type="dynamic", factor=2.0, rope_theta=10000.0)
    ),
    "covers a part of each head only": partly_rotated,
    "q_proj is a Adapted, not a plain Linear": lambda: replaced("model.layers.0.self_attn.q_proj", Adapted(32, 32)),
    "lm_head is a Adapted": lambda: replaced("lm_head", Adapted(32, 50)),
    "up_proj is a Parametrized": parametrised,
    "unusual parts: q_norm": extended,
    "model.layers.1 has forward hooks": hooked,
    "weights differ in dtype": partly_double,
    "Special is not one of": lambda: Special(llama().config),
}


@pytest.mark.parametrize("reason", UNSUPPORTED)
def test_what_the_builtin_engine_leaves_to_transformers(reason):
    model = UNSUPPORTED[reason]()
    assert reason in unsupported(model)
    assert isinstance(build(model), TransformersEngine)


def test_meta_weights_are_not_sampled_from():
    assert "on meta" in unsupported(llama().to("meta"))


@pytest.mark.parametrize(
    "model",
    [
        lambda: MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=None)),
        lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE, use_sliding_window=False)),
    ],
)
def test_relatives_with_the_same_layout(model):
    """Qwen2 adds biases to queries, keys and values only; a forgotten one would show."""
    torch.manual_seed(0)
    model = model().eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_()
    assert unsupported(model) == ""
    fast, slow = sample(model, "builtin", ends=(7,)), sample(model, "transformers", ends=(7,))
    assert torch.equal(fast.sequences.ids, slow.sequences.ids)
    assert (fast.logps - slow.logps).abs().max() < 1e-5


def test_consistency_with_the_trainer():
    model = llama()
    rollouts = sample(model, prompts=PROMPTS, ends=(7, 8))
    recomputed = Policy(model)(rollouts.sequences).logps
    assert 0 < consistency(rollouts, recomputed) < 1e-5
    assert consistency(rollouts, recomputed) <= TOLERANCE
    shifted = recomputed.detach().clone()
    row, column = rollouts.sequences.completion.nonzero()[5].tolist()
    shifted[row, column] += 2e-4
    assert consistency(rollouts, shifted) == pytest.approx(2e-4, rel=0.05)
    assert not consistency(rollouts, shifted) <= TOLERANCE


def test_consistency_looks_at_completions_only():
    rollouts = sample(llama(), ends=(7, 8))
    other = torch.where(rollouts.sequences.completion, rollouts.logps, 99.0)
    assert consistency(rollouts, other) == 0


def test_nan_is_never_trusted():
    rollouts = sample(llama())
    broken = rollouts.logps.clone()
    broken[tuple(rollouts.sequences.completion.nonzero()[0])] = math.nan
    assert math.isnan(consistency(rollouts, broken))
    assert not consistency(rollouts, broken) <= TOLERANCE
