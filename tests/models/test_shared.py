"""One prompt for all its completions: the same numbers and gradients as rows of their own."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
)

from alignlab.data.batch import Sequences, pad
from alignlab.models import shared
from alignlab.models.policy import Policy
from alignlab.models.scorer import Scorer
from alignlab.models.shared import lay_out, longest_group

VOCABULARY = 50
SIZES = dict(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=1)
LLAMA = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, **SIZES)


def llama(attention: str = "sdpa", positions: int = 64) -> PreTrainedModel:
    sizes = LLAMA | dict(max_position_embeddings=positions)
    return LlamaForCausalLM(LlamaConfig(**sizes, attn_implementation=attention)).double()


def gpt2(attention: str = "sdpa", positions: int = 64) -> PreTrainedModel:
    sizes = dict(n_embd=32, n_layer=2, n_head=4, n_positions=positions, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    return GPT2LMHeadModel(GPT2Config(**SIZES, **sizes, attn_implementation=attention)).double()


def groups(seed: int, sizes: list[int], longest: int = 12) -> Sequences:
    """Rows of several prompts, shuffled, completions of any length, a token that pads among them."""
    rng = random.Random(seed)

    def words(most: int) -> list[int]:
        return [rng.randrange(VOCABULARY) for _ in range(rng.randint(1, most))]

    prompts = [words(longest) for _ in sizes]
    rows = [(prompt, words(5)) for prompt, size in zip(prompts, sizes, strict=True) for _ in range(size)]
    rng.shuffle(rows)
    return pad(rows, 0)


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("sizes", [[2, 2, 2], [4, 1, 3], [3, 4, 2]])
def test_a_policy_gives_the_numbers_of_separate_rows(make, attention: str, sizes: list[int]) -> None:
    torch.manual_seed(0)
    policy, sequences = Policy(make(attention)), groups(len(sizes), sizes)
    assert policy.apart == ""
    assert lay_out(sequences) is not None, "worth while"
    # Eager attention takes its softmax in float32, whatever the model computes in.
    tolerance = 1e-10 if attention == "sdpa" or make is gpt2 else 1e-6
    found = []
    for apart in ("", "because"):
        policy.trunk.apart = apart
        policy.zero_grad()
        outputs = policy(sequences, entropy=True, collision=True)
        (outputs.logps * torch.arange(1, sequences.rows + 1)[:, None]).sum().backward()
        gradients = [parameter.grad.clone() for parameter in policy.parameters() if parameter.grad is not None]
        found.append(([*outputs, policy.completion_logits(sequences)], gradients))
    (values, gradients), (separate_values, separate_gradients) = found
    for together, separate in zip(values, separate_values, strict=True):
        torch.testing.assert_close(together, separate, rtol=tolerance, atol=tolerance)
    # Llama's norms round their gradients to float32, row by row.
    tolerance = 1e-10 if make is gpt2 else 1e-4
    for together, separate in zip(gradients, separate_gradients, strict=True):
        torch.testing.assert_close(together, separate, rtol=tolerance, atol=tolerance / 10)


def test_a_scorer_gives_the_scores_of_separate_rows() -> None:
    torch.manual_seed(0)
    scorer = Scorer(LlamaForSequenceClassification(LlamaConfig(**LLAMA, num_labels=1, pad_token_id=0)).double())
    sequences = groups(3, [2, 2, 2, 2])
    assert lay_out(sequences) is not None
    found = []
    for apart in ("", "because"):
        scorer.trunk.apart = apart
        values = scorer._values(sequences, sequences.attention)
        found.append([scorer(sequences), values[sequences.attention], scorer.state_values(sequences)])
    for together, separate in zip(*found, strict=True):
        torch.testing.assert_close(together, separate, rtol=1e-10, atol=1e-10)


def test_each_token_stands_where_it_would_and_sees_its_own() -> None:
    sequences = pad([([7, 8], [1, 2]), ([5], [3]), ([7, 8], [4])], 0)
    layout = lay_out_always(sequences)
    rows = sorted(zip(layout.ids.tolist(), layout.positions.tolist(), layout.segment.tolist(), strict=True))
    assert rows == [
        ([5, 3, 0, 0, 0], [0, 1, 0, 0, 0], [0, 1, -1, -1, -1]),
        ([7, 8, 1, 2, 4], [0, 1, 2, 3, 2], [0, 0, 1, 1, 2]),
    ]
    long = layout.ids.tolist().index([7, 8, 1, 2, 4])
    assert layout.visible()[long, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]
    flat = layout.ids.flatten()
    assert (flat[layout.place] == sequences.ids)[sequences.attention].all()


def lay_out_always(sequences: Sequences) -> shared.Layout:
    worth, shared.WORTH = shared.WORTH, 10.0
    try:
        layout = lay_out(sequences)
    finally:
        shared.WORTH = worth
    assert layout is not None
    return layout


def test_rows_stay_apart_where_little_is_shared() -> None:
    assert lay_out(groups(0, [1, 1, 1])) is None, "no prompt twice"
    assert lay_out(pad([([1], [2] * 9), ([1], [3] * 9)], 0)) is None, "a token of twenty"
    alike = pad([([1, 2, 3], [4]), ([1, 2, 3], [4]), ([1, 2], [3, 4])], 0)
    layout = lay_out_always(alike)
    assert len(layout.ids) == 2, "a prompt is not one that begins like it"


def test_equal_hashes_are_not_equal_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_weights", lambda width, device: torch.zeros(width, dtype=torch.long))
    assert lay_out(groups(1, [2, 2, 2])) is None


def gpt_neo() -> PreTrainedModel:
    kinds = [[["global", "local"], 1]]
    sizes = dict(hidden_size=32, num_layers=2, num_heads=4, window_size=256)
    return GPTNeoForCausalLM(GPTNeoConfig(**SIZES, **sizes, attention_types=kinds))


def gemma3() -> PreTrainedModel:
    sizes = dict(LLAMA, head_dim=8, num_key_value_heads=2, layer_types=["sliding_attention", "full_attention"])
    return Gemma3ForCausalLM(Gemma3TextConfig(**sizes, sliding_window=4096))


@pytest.mark.parametrize("make", [gpt_neo, gemma3])
def test_windows_of_any_name_keep_rows_apart(make) -> None:
    """A short probe does not show them, and our mask would take their place."""
    assert "its attention is limited by" in Policy(make()).apart


@pytest.mark.parametrize("kind", [llama, gpt2])
def test_a_group_may_be_longer_than_the_context(kind) -> None:
    """Each token keeps the position it has in a row of its own, and no row is longer than the context."""
    torch.manual_seed(0)
    rows = pad([([7] * 10, [1, 2, i, 3]) for i in range(6)], 0)
    layout = lay_out(rows)
    assert layout is not None
    assert (layout.ids.shape[1], int(layout.positions.max())) == (34, 13)
    policy = Policy(kind(positions=14))
    assert (policy.max_positions, policy.apart) == (14, "")
    assert policy.trunk.longest_group > 34
    together = policy(rows).logps
    policy.trunk.apart = "because"
    torch.testing.assert_close(together, policy(rows).logps, rtol=0, atol=1e-10)


def test_a_model_with_a_mask_of_its_own_takes_no_longer_groups() -> None:
    model = torch.nn.Module()
    assert longest_group(model, 14) > 1000
    model.register_buffer("bias", torch.ones(1, 1, 14, 14))
    assert longest_group(model, 14) == 14
    assert lay_out(pad([([7] * 10, [1] * 4) for _ in range(6)], 0), most=33) is None


def test_a_model_that_sees_a_window_keeps_rows_apart() -> None:
    windowed = Policy(MistralForCausalLM(MistralConfig(**LLAMA, num_key_value_heads=4, sliding_window=8)))
    assert "window" in windowed.apart
    whole = Policy(MistralForCausalLM(MistralConfig(**LLAMA, num_key_value_heads=4, sliding_window=None)))
    assert whole.apart == ""


def test_a_model_that_ignores_the_mask_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama()
    forward = type(model.base_model).forward

    def deaf(self, *args, attention_mask=None, **options):
        return forward(self, *args, **options)

    monkeypatch.setattr(type(model.base_model), "forward", deaf)
    assert "other hidden states" in Policy(model).apart
