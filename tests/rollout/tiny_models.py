"""Tiny random models and what it takes to sample from them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from alignlab.data.batch import Sequences
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.llama_engine import LlamaEngine
from alignlab.rollout.sampling import Sampling
from alignlab.rollout.transformers_engine import TransformersEngine

ENGINES = {"builtin": LlamaEngine, "transformers": TransformersEngine}
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10], [1, 2, 3], [11, 12], [4], [13] * 9, [1, 2, 3]]


def llama(seed: int = 0, **changes: object) -> LlamaForCausalLM:
    """A random Llama whose distributions are far from uniform."""
    torch.manual_seed(seed)
    shape = dict(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=44,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(LlamaConfig(**(shape | changes))).eval()


def gpt2(**changes: object) -> GPT2LMHeadModel:
    """A random GPT-2: learned absolute positions, so that a position off by one shows."""
    torch.manual_seed(0)
    shape = dict(vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.4)
    return GPT2LMHeadModel(GPT2Config(**(shape | dict(bos_token_id=0, eos_token_id=0) | changes))).eval()


def sample(
    model: PreTrainedModel,
    engine: str = "builtin",
    prompts: Sequence[Sequence[int]] = PROMPTS,
    *,
    rows: Sequence[int] | None = None,
    ends: tuple[int, ...] = (),
    pad_id: int = 0,
    seed: int = 3,
    **sampling: float,
) -> Rollouts:
    """Sample with the row identities given, 0, 1, 2, … by default."""
    settings = Sampling(**({"max_new_tokens": 12} | sampling))
    chosen = ENGINES[engine](model, sampling=settings, end_ids=ends, pad_id=pad_id)
    identities = torch.arange(len(prompts)) if rows is None else torch.tensor(rows)
    return chosen.sample(prompts, Noise(seed, identities))


def forward_logps(model: PreTrainedModel, sequences: Sequences, temperature: float = 1.0) -> torch.Tensor:
    """Log-probability of every completion token, one unpadded row at a time, in plain steps: (B, T)."""
    out = torch.zeros(sequences.ids.shape)
    with torch.no_grad():
        for row in range(sequences.rows):
            real = int(sequences.attention[row].sum())
            ids = sequences.ids[row, :real]
            logps = (model(ids[None]).logits[0].float() / temperature).log_softmax(-1)
            for t in sequences.completion[row].nonzero().flatten().tolist():
                out[row, t] = logps[t - 1, ids[t]]
    return out
