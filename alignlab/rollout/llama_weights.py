"""Weights of a Llama-shaped model, arranged for fast decoding, and the test of what has that shape.

Queries, keys and values become one matrix. (Gate and up projections stay two: their product in place, over
contiguous memory, is faster than one larger matrix.) The two halves of a rotary pair lie half a head apart in
transformers' layout; they are brought side by side, so that the rotation is one complex product. Scores are inner
products of queries and keys permuted alike and do not change.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM")
ROTARY = ("default", "linear", "llama3")
"""Rotary types whose frequencies depend on the position alone, not on the length of the sequence."""
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_ATTENTION = {"q_proj": nn.Linear, "k_proj": nn.Linear, "v_proj": nn.Linear, "o_proj": nn.Linear}
_MLP = {"gate_proj": nn.Linear, "up_proj": nn.Linear, "down_proj": nn.Linear, "act_fn": None}
_LAYER = {"self_attn": None, "mlp": None, "input_layernorm": None, "post_attention_layernorm": None}


class Affine(NamedTuple):
    """x -> x weight' + bias."""

    weight: Tensor
    bias: Tensor | None


class Layer(NamedTuple):
    """One decoder block."""

    norm: Tensor
    qkv: Affine
    """Queries of all heads, then keys, then values; rotary pairs side by side."""
    out: Affine
    mlp_norm: Tensor
    gate: Affine
    up: Affine
    down: Affine


class LlamaWeights(NamedTuple):
    """A whole model; tensors alias the live parameters where no rearrangement is needed."""

    embedding: Tensor
    layers: list[Layer]
    norm: Tensor
    head: Affine
    heads: int
    kv_heads: int
    head_dim: int
    scaling: float
    eps: float
    frequencies: Tensor
    """Rotation a position in radians, (head_dim / 2,)."""
    rotary_scale: float

    @classmethod
    def of(cls, model: PreTrainedModel) -> LlamaWeights:
        """Rearrange the present weights of a model for which `unsupported` is empty."""
        config, inner = model.config, model.model
        attention = inner.layers[0].self_attn
        dim = attention.head_dim
        return cls(
            embedding=inner.embed_tokens.weight,
            layers=[_layer(layer, dim) for layer in inner.layers],
            norm=inner.norm.weight,
            head=Affine(model.lm_head.weight, model.lm_head.bias),
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_dim=dim,
            scaling=attention.scaling,
            eps=config.rms_norm_eps,
            frequencies=inner.rotary_emb.inv_freq,
            rotary_scale=inner.rotary_emb.attention_scaling,
        )


def _layer(layer: Any, dim: int) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    rotated = [_side_by_side(attention.q_proj, dim), _side_by_side(attention.k_proj, dim)]
    return Layer(
        norm=layer.input_layernorm.weight,
        qkv=_stack([*rotated, _affine(attention.v_proj)]),
        out=_affine(attention.o_proj),
        mlp_norm=layer.post_attention_layernorm.weight,
        gate=_affine(mlp.gate_proj),
        up=_affine(mlp.up_proj),
        down=_affine(mlp.down_proj),
    )


def _affine(linear: nn.Linear) -> Affine:
    return Affine(linear.weight, linear.bias)


def _side_by_side(linear: nn.Linear, dim: int) -> Affine:
    """Output features i and i + dim / 2 of every head become 2 i and 2 i + 1."""

    def pair(x: Tensor) -> Tensor:
        return x.view(-1, 2, dim // 2, *x.shape[1:]).transpose(1, 2).reshape(x.shape)

    return Affine(pair(linear.weight), None if linear.bias is None else pair(linear.bias))


def _stack(parts: list[Affine]) -> Affine:
    weight = torch.cat([part.weight for part in parts])
    if all(part.bias is None for part in parts):
        return Affine(weight, None)
    biases = [part.weight.new_zeros(len(part.weight)) if part.bias is None else part.bias for part in parts]
    return Affine(weight, torch.cat(biases))


def unsupported(model: nn.Module) -> str:
    """Why the built-in engine cannot run a model, or an empty string if it can.

    Whatever is not recognised counts as a reason: adapters, quantised or sharded layers, hooks, unusual rotary
    embeddings, attention windows.
    """
    name = type(model).__name__
    if name not in ARCHITECTURES or not type(model).__module__.startswith("transformers."):
        return f"{name} is not one of {', '.join(ARCHITECTURES)}"
    return _unusual_config(model.config) or _unusual_modules(model) or _unusual_tensors(model)


def _unusual_config(config: Any) -> str:
    if config.hidden_act != "silu":
        return f"hidden_act is {config.hidden_act!r}, not 'silu'"
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if window is not None:
        return f"attention has a sliding window of {window}"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        return f"layer_types holds {', '.join(sorted(kinds - {'full_attention'}))}"
    return ""


def _unusual_modules(model: Any) -> str:
    inner = model.model
    if inner.rotary_emb.rope_type not in ROTARY:
        return f"rotary embedding of type {inner.rotary_emb.rope_type!r}, not one of {', '.join(ROTARY)}"
    if 2 * len(inner.rotary_emb.inv_freq) != inner.layers[0].self_attn.head_dim:
        return "the rotary embedding covers a part of each head only"
    expected = [(inner, "embed_tokens", nn.Embedding), (model, "lm_head", nn.Linear)]
    for layer in inner.layers:
        for module, children in ((layer, _LAYER), (layer.self_attn, _ATTENTION), (layer.mlp, _MLP)):
            extra = {child for child, _ in module.named_children()} ^ set(children)
            if extra:
                return f"{type(module).__name__} has unusual parts: {', '.join(sorted(extra))}"
            expected += [(module, child, kind) for child, kind in children.items() if kind]
    for module, child, kind in expected:
        if type(getattr(module, child)) is not kind:
            return f"{child} is a {type(getattr(module, child)).__name__}, not a plain {kind.__name__}"
    hooked = [path for path, part in model.named_modules() if part._forward_hooks or part._forward_pre_hooks]
    return f"{hooked[0] or 'the model'} has forward hooks" if hooked else ""


def _unusual_tensors(model: nn.Module) -> str:
    kinds = {(p.dtype, p.device) for p in model.parameters()}
    if len(kinds) > 1:
        return "weights differ in dtype or device"
    if any(type(p) is not nn.Parameter for p in model.parameters()):
        return "weights are not plain tensors"
    dtype, device = kinds.pop()
    return "" if dtype in FLOATS and device.type != "meta" else f"weights are {dtype} on {device}"
