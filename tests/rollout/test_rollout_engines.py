"""What every in-process engine owes: transformers' greedy tokens, exact log-probabilities, independence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import PROMPTS, forward_logps, gpt2, llama, sample
from transformers import AutoModelForCausalLM, AutoTokenizer, MistralConfig, MistralForCausalLM, PreTrainedModel

from alignlab.errors import DataError, ModelError, TrainingError
from alignlab.models.modes import evaluating
from alignlab.models.policy import Policy
from alignlab.numerics.noise import Noise
from alignlab.rollout.sampling import Sampling
from alignlab.rollout.transformers_engine import TransformersEngine

LLAMAS = {
    "grouped-query": dict(num_key_value_heads=2),
    "multi-head-tied": dict(num_key_value_heads=4, tie_word_embeddings=True),
    "multi-query": dict(num_key_value_heads=1),
    "biased": dict(attention_bias=True, mlp_bias=True),
    "wide-heads": dict(head_dim=12),
    "one-layer": dict(num_hidden_layers=1),
    "linear-rope": dict(rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=500.0)),
    "llama3-rope": dict(
        rope_parameters=dict(
            rope_type="llama3",
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=16,
            rope_theta=10000.0,
        )
    ),
}


def greedy_by_generate(model: PreTrainedModel, prompt: list[int], new: int, ends: tuple[int, ...]) -> list[int]:
    """Transformers' own greedy completion of one unpadded prompt, the end token included."""
    ids = torch.tensor([prompt])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=new,
        eos_token_id=list(ends) or None,
        pad_token_id=0,
    )
    return out[0, len(prompt) :].tolist()


def randomise_biases(model: PreTrainedModel) -> PreTrainedModel:
    """Fresh biases are zero, which would hide a forgotten one."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "norm" in name:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("shape", LLAMAS)
def test_greedy_tokens_and_logps_on_llamas(engine, shape):
    model = randomise_biases(llama(**LLAMAS[shape]))
    for ends in ((), tuple(range(0, 50, 4))):
        rollouts = sample(model, engine, ends=ends, temperature=0)
        expected = [greedy_by_generate(model, prompt, 12, ends) for prompt in PROMPTS]
        assert rollouts.completions() == expected
        assert (rollouts.logps - forward_logps(model, rollouts.sequences)).abs().max() < 2e-5


def test_greedy_tokens_with_absolute_positions():
    model = gpt2()
    rollouts = sample(model, "transformers", temperature=0)
    assert rollouts.completions() == [greedy_by_generate(model, prompt, 12, ()) for prompt in PROMPTS]
    assert (rollouts.logps - forward_logps(model, rollouts.sequences)).abs().max() < 2e-5


def test_attention_windows_through_transformers():
    """Prompts longer and shorter than the window, left padded, with rows that leave early."""
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=44,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=5,
        initializer_range=0.3,
        max_position_embeddings=64,
        eos_token_id=None,
    )
    model = MistralForCausalLM(config).eval()
    ends = tuple(range(0, 50, 5))
    rollouts = sample(model, "transformers", ends=ends, temperature=0)
    assert rollouts.completions() == [greedy_by_generate(model, prompt, 12, ends) for prompt in PROMPTS]
    sampled = sample(model, "transformers", ends=ends)
    assert len(set(sampled.sequences.lengths.tolist())) > 2
    assert (sampled.logps - forward_logps(model, sampled.sequences)).abs().max() < 2e-5


def test_real_model(real_data: Path, engine):
    """The published 260 k stories model: greedy text, and sampled log-probabilities to 1e-4."""
    folder = real_data / "stories260K"
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = ["Once upon a time", "Lily", "The dog was very sad because", "One day, a little girl"]
    prompts = [tokenizer(text).input_ids for text in texts]
    rollouts = sample(model, engine, prompts, temperature=0, max_new_tokens=40, ends=(1, 2))
    assert rollouts.completions() == [greedy_by_generate(model, prompt, 40, (1, 2)) for prompt in prompts]
    drawn = sample(model, engine, prompts * 8, max_new_tokens=60, ends=(1, 2))
    assert (drawn.logps - forward_logps(model, drawn.sequences)).abs().max() < 1e-4
    assert len({tuple(reply) for reply in drawn.completions()}) == 32


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7])
def test_logps_are_those_of_the_sampling_distribution(engine, temperature):
    model = llama()
    rollouts = sample(model, engine, temperature=temperature, ends=(7, 8, 9))
    expected = forward_logps(model, rollouts.sequences, temperature)
    assert (rollouts.logps - expected).abs().max() < 2e-5
    assert (rollouts.logps[~rollouts.sequences.completion] == 0).all()


def test_logps_agree_with_the_training_forward(engine):
    model = llama()
    rollouts = sample(model, engine, ends=(7, 8, 9))
    assert (Policy(model)(rollouts.sequences).logps - rollouts.logps).abs().max() < 1e-5


def test_both_engines_draw_the_same(engine):
    model = llama(vocab_size=300)
    one, other = sample(model, engine, ends=(7, 8)), sample(model, "transformers", ends=(7, 8))
    assert torch.equal(one.sequences.ids, other.sequences.ids)
    assert torch.equal(one.ended, other.ended)
    assert (one.logps - other.logps).abs().max() < 1e-5


def assert_same_row(one, i, other, j):
    """Row i of one result equals row j of another, whatever their widths."""
    a, b = one.select(slice(i, i + 1)), other.select(slice(j, j + 1))
    assert a.completions() == b.completions()
    assert a.ended.tolist() == b.ended.tolist()
    mine, theirs = a.logps[a.sequences.completion], b.logps[b.sequences.completion]
    assert (mine - theirs).abs().max() < 1e-5


def test_company_order_and_padding_change_nothing(engine):
    model = llama()
    ends = tuple(range(0, 50, 6))
    whole = sample(model, engine, ends=ends)
    order = [5, 2, 7, 0, 6, 1, 4, 3]
    shuffled = sample(model, engine, [PROMPTS[i] for i in order], rows=order, ends=ends)
    longer = sample(model, engine, [*PROMPTS, [20] * 40], rows=[*range(8), 99], ends=ends)
    for i, prompt in enumerate(PROMPTS):
        assert_same_row(sample(model, engine, [prompt], rows=[i], ends=ends), 0, whole, i)
        assert_same_row(shuffled, order.index(i), whole, i)
        assert_same_row(longer, i, whole, i)


def test_repeated_prompts_equal_separate_ones(engine):
    """Groups are read once and then expanded; interleaved groups too."""
    model = llama()
    prompts = [[1, 2, 3], [4, 5]] * 6
    together = sample(model, engine, prompts, ends=(3, 9))
    apart = [sample(model, engine, [prompt], rows=[i], ends=(3, 9)) for i, prompt in enumerate(prompts)]
    for i, alone in enumerate(apart):
        assert_same_row(alone, 0, together, i)
    assert len({tuple(reply) for reply in together.completions()}) > 6


def test_prompts_read_in_several_passes(monkeypatch):
    """The built-in engine reads prompts in slices; where they are cut changes nothing."""
    model = llama()
    prompts = [[i % 50, (3 * i) % 50, *[i % 7] * (i % 5)] for i in range(30)] * 2
    whole = sample(model, prompts=prompts)
    monkeypatch.setattr("alignlab.rollout.llama_engine.READ_TOKENS", 20)
    cut = sample(model, prompts=prompts)
    assert torch.equal(whole.sequences.ids, cut.sequences.ids)
    assert (whole.logps - cut.logps).abs().max() < 1e-5


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_dropping_finished_rows_changes_nothing(engine, share, monkeypatch):
    """0 never drops, 0.99 drops after every end."""
    model, ends = llama(), tuple(range(0, 50, 6))
    prompts = [[i % 50] * (1 + i % 4) for i in range(40)]
    expected = sample(model, engine, prompts, ends=ends)
    monkeypatch.setattr("alignlab.rollout.decode.DROP_AT", share)
    got = sample(model, engine, prompts, ends=ends)
    assert len(set(expected.sequences.lengths.tolist())) > 6
    assert torch.equal(got.sequences.ids, expected.sequences.ids)
    assert torch.equal(got.ended, expected.ended)
    assert (got.logps - expected.logps).abs().max() < 1e-5


def test_ends_are_included_once_and_flagged(engine):
    model = llama()
    ends = tuple(range(0, 50, 6))
    rollouts = sample(model, engine, [[i % 50] for i in range(60)], ends=ends)
    for reply, ended in zip(rollouts.completions(), rollouts.ended.tolist(), strict=True):
        assert sum(token in ends for token in reply) == ended
        assert (reply[-1] in ends) == ended
        assert ended or len(reply) == 12
    assert 0 < rollouts.ended.sum() < 60


def test_pad_may_be_the_end_token(engine):
    """Also when a prompt holds it: masks come from lengths."""
    model, prompts = llama(), [[7, 1, 7], [2], [7]]
    for seed in range(4):
        same, other = (sample(model, engine, prompts, ends=(7, 12, 30), pad_id=pad_id, seed=seed) for pad_id in (7, 49))
        assert same.completions() == other.completions()
        assert [prompt for prompt, _ in same.sequences.split()] == prompts
        assert torch.equal(same.sequences.completion, other.sequences.completion)
        assert (same.logps - other.logps).abs().max() < 1e-5


def test_two_tokens_follow_the_exact_distribution(engine):
    """Chi-square of 20,000 samples against probabilities by enumeration of all pairs."""
    model = llama(vocab_size=6, initializer_range=0.15)
    prompt, n = [1, 4], 20_000
    with torch.no_grad():
        first = model(torch.tensor([prompt])).logits[0, -1].double().softmax(-1)
        second = model(torch.tensor([[*prompt, token] for token in range(6)])).logits[:, -1].double().softmax(-1)
    expected = (first[:, None] * second).flatten() * n
    assert expected.min() > 5
    rollouts = sample(model, engine, [prompt] * n, max_new_tokens=2)
    ids = rollouts.sequences.ids[:, 2:]
    counts = torch.bincount(ids[:, 0] * 6 + ids[:, 1], minlength=36).double()
    assert ((counts - expected) ** 2 / expected).sum() < 72.0  # 35 degrees of freedom, p = 0.0002


def test_other_seeds_and_rows_draw_otherwise(engine):
    model = llama()
    base = sample(model, engine, seed=0)
    assert sample(model, engine, seed=0).completions() == base.completions()
    assert sample(model, engine, seed=1).completions() != base.completions()
    assert sample(model, engine, seed=0, rows=range(100, 108)).completions() != base.completions()


def test_dropout_is_off_and_modes_come_back():
    """Every submodule keeps its own mode, whatever the mode of its parent."""
    model = gpt2(resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5)
    expected = sample(model, "transformers")
    model.train()
    model.transformer.h[1].eval()
    modes = [module.training for module in model.modules()]
    trained = sample(model, "transformers")
    assert [module.training for module in model.modules()] == modes
    assert trained.completions() == expected.completions()
    assert torch.equal(trained.logps, expected.logps)


def test_builtin_engine_ignores_attention_dropout():
    model = llama(attention_dropout=0.5)
    expected = sample(model)
    model.train()
    trained = sample(model)
    assert model.training
    assert torch.equal(trained.logps, expected.logps)


def test_modes_come_back_after_an_error():
    model = gpt2().train()

    def fail() -> None:
        with evaluating(model):
            assert not model.training
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert all(module.training for module in model.modules())


def test_results_take_no_part_in_autograd_but_may_be_trained_on(engine):
    model = llama().train()
    rollouts = sample(model, engine)
    assert not rollouts.logps.requires_grad
    loss = -(Policy(model)(rollouts.sequences).logps * rollouts.logps.exp()).sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_weights_are_read_anew(engine):
    model = llama()
    before = sample(model, engine, temperature=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    after = sample(model, engine, temperature=0)
    assert before.completions() != after.completions()
    assert (after.logps - forward_logps(model, after.sequences)).abs().max() < 2e-5


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(engine, dtype):
    model = llama().to(dtype)
    rollouts = sample(model, engine, ends=(7, 8))
    assert rollouts.logps.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    with torch.no_grad():
        recomputed = Policy(model)(rollouts.sequences).logps
    tolerance = 2e-6 if dtype == torch.float64 else 0.3
    assert (recomputed - rollouts.logps).abs().max() < tolerance


def test_mixed_precision_around_the_call(engine):
    """A surrounding autocast neither breaks sampling nor, for the built-in engine, changes it."""
    model = llama()
    expected = sample(model, engine, ends=(7, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = sample(model, engine, ends=(7, 8))
    assert mixed.logps.isfinite().all()
    if engine == "builtin":
        assert torch.equal(mixed.logps, expected.logps)


def test_longest_prompt_that_fits(engine):
    """Prompt and completion fill every position."""
    model = llama(max_position_embeddings=20)
    rollouts = sample(model, engine, [[3] * 8, [5]])
    assert rollouts.sequences.ids.shape == (2, 20)
    assert (rollouts.logps - forward_logps(model, rollouts.sequences)).abs().max() < 2e-5


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "no prompts"),
        ([[1], []], "prompt 1 is empty"),
        ([[1], [2] * 53], r"prompt 1 has 53 tokens and max_new_tokens is 12, together 65, .* 64 positions"),
        ([[2] * 70], "shorten the prompt to less than 64"),
        ([[1], [3, 50]], "prompt 1 holds token id 50, but the model has 50"),
        ([[-1]], "prompt 0 holds token id -1"),
    ],
)
def test_prompts_that_cannot_be_completed(engine, prompts, message):
    with pytest.raises(DataError, match=message):
        sample(llama(), engine, prompts)


def test_noise_for_another_number_of_rows(engine):
    with pytest.raises(ValueError, match="2 prompts but noise for 3 rows"):
        sample(llama(), engine, [[1], [2]], rows=[0, 1, 2])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_diverged_weights(engine, temperature):
    model = llama()
    with torch.no_grad():
        model.lm_head.weight[3] = torch.nan
    with pytest.raises(TrainingError, match="not finite while it completes row 0"):
        sample(model, engine, temperature=temperature)


def test_without_a_cache_there_is_a_clear_error(monkeypatch):
    model = gpt2()
    original = model.forward

    def without_cache(input_ids, attention_mask=None, position_ids=None, **options):
        output = original(input_ids, attention_mask=attention_mask, position_ids=position_ids)
        output.past_key_values = None
        return output

    monkeypatch.setattr(model, "forward", without_cache)
    with pytest.raises(ModelError, match="GPT2LMHeadModel returns no key-value cache"):
        sample(model, "transformers")


@pytest.mark.filterwarnings("error::FutureWarning")
def test_transformers_are_called_by_names_that_stay():
    assert sample(llama(), "transformers").sequences.rows == len(PROMPTS)
    assert sample(gpt2(), "transformers").sequences.rows == len(PROMPTS)


def test_temporary_engine_needs_no_reason():
    engine = TransformersEngine(gpt2(), sampling=Sampling(max_new_tokens=1), end_ids=(), pad_id=0)
    assert engine.reason
    assert engine.sample([[1]], Noise(0, torch.tensor([0]))).sequences.lengths.tolist() == [1]
