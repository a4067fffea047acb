"""What a head does not read is not computed, and what it reads stays the same, gradients included."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from test_shared import LLAMA, SIZES, VOCABULARY, gpt2, groups, llama
from torch import Tensor, nn
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForSequenceClassification,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
)

from alignlab.models.policy import Policy
from alignlab.models.scorer import Scorer
from alignlab.models.trunk import Trunk, narrowed


def gemma() -> PreTrainedModel:
    """Norms after each part of a block, so that what a part leaves out passes through one more."""
    sizes = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, head_dim=8)
    kinds = dict(num_key_value_heads=4, layer_types=["sliding_attention", "full_attention"], sliding_window=64)
    return Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, **sizes, **kinds)).double()


def classifier() -> Scorer:
    return Scorer(LlamaForSequenceClassification(LlamaConfig(**LLAMA, num_labels=1, pad_token_id=0)).double())


def tokens_seen(parts: list[nn.Module], call: Callable[[], Tensor]) -> set[int]:
    """How many tokens each of some parts computes in a call."""
    seen: list[int] = []

    def noting(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def noted(states: Tensor) -> Tensor:
            seen.append(states.numel() // states.shape[-1])
            return forward(states)

        return noted

    for part in parts:
        part.forward = noting(part.forward)
    try:
        call()
        assert len(seen) == len(parts)
        return set(seen)
    finally:
        for part in parts:
            del part.forward


@pytest.mark.parametrize("make", [llama, gpt2, gemma])
@pytest.mark.parametrize("sizes", [[2, 2, 2], [1, 1, 1, 1]])
def test_a_policy_is_the_same_with_and_without(make: Callable[[], PreTrainedModel], sizes: list[int]) -> None:
    torch.manual_seed(0)
    policy, sequences = Policy(make()), groups(1, sizes)
    block = policy.model.base_model.get_submodule("h.1" if make is gpt2 else "layers.1")
    names = ["mlp", "attn.c_proj"] if make is gpt2 else ["mlp", "self_attn.q_proj", "self_attn.o_proj"]
    parts = policy.trunk.last
    assert parts == [block.get_submodule(name) for name in names]
    weights = torch.arange(sequences.completion.numel(), dtype=torch.float64).view_as(sequences.completion).cos()
    found = []
    for last in (parts, []):
        policy.trunk.last = last
        policy.zero_grad()
        logps = policy(sequences).logps
        (logps * weights).sum().backward()
        found.append([logps, *(each.grad.clone() for each in policy.parameters() if each.grad is not None)])
    # Norms of Llama and Gemma round their gradients to float32.
    for some, whole in zip(*found, strict=True):
        torch.testing.assert_close(
            some, whole, rtol=1e-10 if make is gpt2 else 1e-5, atol=1e-10 if make is gpt2 else 1e-7
        )
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-10, atol=1e-10)


def test_only_what_is_read_runs() -> None:
    policy, sequences = Policy(llama()), groups(2, [2, 2, 2])
    (seen,) = tokens_seen(policy.trunk.last, lambda: policy(sequences).logps)
    first = sum(len(set(map(tuple, rows))) for rows in [_prompts(sequences)])
    # The first token of every completion is predicted from its prompt's last state, which a group reads once.
    assert seen == int(sequences.completion.sum()) - sequences.rows + first
    scorer = classifier()
    for call, count in (
        (scorer, sequences.rows),
        (scorer.state_values, seen),
        (lambda given: scorer._values(given, given.attention), None),
    ):
        (ran,) = tokens_seen(scorer.trunk.last, lambda call=call: call(sequences))
        assert ran == count or (count is None and ran > seen)


def _prompts(sequences) -> list[list[int]]:
    prompt = sequences.attention & ~sequences.completion
    return [ids[own].tolist() for ids, own in zip(sequences.ids, prompt, strict=True)]


def test_scores_and_values_are_those_of_all_positions() -> None:
    torch.manual_seed(0)
    scorer, sequences = classifier(), groups(3, [2, 1, 3])
    values = scorer._values(sequences, sequences.attention)
    last = sequences.attention.sum(-1) - 1
    torch.testing.assert_close(scorer(sequences), values.gather(-1, last[:, None])[:, 0], rtol=1e-10, atol=1e-10)
    before = torch.cat([torch.zeros_like(values[:, :1]), values[:, :-1]], -1) * sequences.completion
    torch.testing.assert_close(scorer.state_values(sequences), before, rtol=1e-10, atol=1e-10)
    assert bool((values[~sequences.attention] == 0).all())


def test_what_is_computed_again_runs_whole() -> None:
    """Blocks run again in the backward pass, when the hooks are gone."""
    torch.manual_seed(0)
    policy, sequences = Policy(llama()), groups(2, [2, 2, 2])
    policy.train()
    found = []
    for again in (False, True):
        policy.zero_grad()
        if again:
            # transformers 5.24 renamed it.
            enable = getattr(policy.model, "activation_checkpointing_enable", None)
            (enable or policy.model.gradient_checkpointing_enable)()
        policy(sequences).logps.sum().backward()
        found.append([each.grad.clone() for each in policy.parameters()])
    for kept, computed in zip(*found, strict=True):
        torch.testing.assert_close(computed, kept, rtol=1e-4, atol=1e-6)


def test_a_part_that_an_earlier_block_shares_runs_whole() -> None:
    model = llama()
    model.model.layers[0].mlp = model.model.layers[1].mlp
    for each in model.parameters():
        each.data.mul_(1e-3)  # so small that no figure shows it
    attention = model.model.layers[1].self_attn
    assert Trunk(model).last == [attention.q_proj, attention.o_proj]


def test_hooks_are_gone_afterwards_and_after_a_failure() -> None:
    policy, sequences = Policy(llama()), groups(2, [2, 2])
    policy(sequences)
    parts = policy.trunk.last
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)
    with pytest.raises(RuntimeError, match="stop"), narrowed(parts, torch.tensor([0])):
        raise RuntimeError("stop")
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)


def test_models_whose_parts_have_other_names_run_whole() -> None:
    sizes = dict(hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=32)
    model = OPTForCausalLM(OPTConfig(**SIZES, **sizes, pad_token_id=0, dropout=0.0)).double()
    policy, sequences = Policy(model), groups(2, [1, 2])
    assert Trunk(model).last == [], "its blocks lie in a decoder inside"
    logits = model(input_ids=sequences.ids, use_cache=False).logits.log_softmax(-1)
    expected = logits[:, :-1].gather(-1, sequences.ids[:, 1:, None])[..., 0] * sequences.completion[:, 1:]
    torch.testing.assert_close(policy(sequences).logps[:, 1:], expected, rtol=1e-10, atol=1e-10)


class Backwards(nn.Module):
    """A feed-forward part that is none: a token's result depends on the one before it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x + x.roll(1, 1))


def test_a_part_that_does_not_take_tokens_one_by_one_runs_whole() -> None:
    model = llama()
    model.model.layers[1].mlp = Backwards(model.model.layers[1].mlp)
    assert Trunk(model).last == [], "queries neither: the part reads states that nothing else does"


def test_the_vocabulary_of_the_probe_is_the_models() -> None:
    assert VOCABULARY > 3
    sizes = LLAMA | dict(vocab_size=5)
    model = type(llama())(LlamaConfig(**sizes)).double()
    assert len(Trunk(model).last) == 3
