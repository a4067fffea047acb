"""The policy's log-probabilities against one unpadded row at a time through the bare model."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from small import VOCAB, cohere, gemma2, gpt2, left_padded, llama, texts
from transformers import AutoModelForCausalLM

from alignlab.data.batch import Sequences, pad
from alignlab.errors import DataError
from alignlab.models import policy as policy_module
from alignlab.models.policy import Policy, TokenOutputs
from alignlab.models.trunk import max_positions
from alignlab.worlds.desk.tokenizer import build

MODELS = {"llama": llama, "gpt2": gpt2, "gemma2": gemma2, "cohere": cohere}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def one_by_one(policy: Policy, sequences: Sequences) -> TokenOutputs:
    """Log-probability and entropy of every completion token, one unpadded row at a time."""
    logps, entropy = torch.zeros(2, *sequences.ids.shape, dtype=torch.float64)
    with torch.no_grad():
        for row, (prompt, reply) in enumerate(sequences.split()):
            ids = torch.tensor([prompt + reply])
            distribution = policy.model(input_ids=ids).logits[0].double().log_softmax(-1)
            for t in range(len(prompt), len(prompt + reply)):
                before = distribution[t - 1]
                logps[row, t] = before[ids[0, t]]
                entropy[row, t] = -sum(x.exp() * x for x in before)
    return TokenOutputs(logps, entropy)


@every_model
def test_a_padded_batch_agrees_with_one_row_at_a_time(make: object) -> None:
    policy, sequences = Policy(make()), pad(texts(6), 0)
    found, expected = policy(sequences, entropy=True), one_by_one(policy, sequences)
    torch.testing.assert_close(found.logps.detach(), expected.logps, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.entropy, expected.entropy, rtol=0, atol=1e-6)


def test_agreement_is_exact_where_all_of_the_model_is_float64() -> None:
    policy, sequences = Policy(gpt2()), pad(texts(6), 0)
    found, expected = policy(sequences, entropy=True), one_by_one(policy, sequences)
    torch.testing.assert_close(found.logps.detach(), expected.logps, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.entropy, expected.entropy, rtol=0, atol=1e-12)


@every_model
def test_amount_and_content_of_padding_change_nothing(make: object) -> None:
    policy, rows = Policy(make()), texts(5)
    narrow = pad(rows, 0)
    wide = Sequences(*(torch.nn.functional.pad(field, (0, 4)) for field in pad(rows, VOCAB - 1)))
    width = narrow.ids.shape[1]
    found, expected = (policy(rows, entropy=True, collision=True) for rows in (wide, narrow))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a[:, :width], b, rtol=0, atol=1e-6)
        assert not a[:, width:].any()


@every_model
def test_the_order_of_rows_changes_nothing(make: object) -> None:
    policy, sequences = Policy(make()), pad(texts(5), 0)
    order = torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(policy(sequences.select(order)).logps, policy(sequences).logps[order], rtol=0, atol=1e-6)


@every_model
def test_left_padding_is_refused_rather_than_read_as_text(make: object) -> None:
    policy = Policy(make())
    with pytest.raises(DataError, match=r"a row begins with padding, which models read as text\n  remedy: pad on the"):
        policy(left_padded(pad([([1], [2]), ([1, 2], [3, 4])], 0)))


def test_a_completion_without_prompt_is_refused() -> None:
    with pytest.raises(DataError, match=r"a completion starts at the first token: nothing predicts it\n  remedy: give"):
        Policy(llama())(pad([([1], [2]), ([], [3, 4])], 0))


@every_model
def test_only_completion_tokens_count(make: object) -> None:
    """log p(whole | first) = log p(rest of the prompt | first) + log p(completion | prompt)."""
    policy = Policy(make())
    prompt, reply = [1, 5, 3], [2, 2, 7]
    rows = pad([(prompt, reply), (prompt[:1], prompt[1:]), (prompt[:1], prompt[1:] + reply)], 0)
    completion, rest, whole = policy(rows).logps.sum(-1).tolist()
    assert whole == pytest.approx(rest + completion, abs=1e-6)
    assert not policy(rows).logps[~rows.completion].any()
    assert not policy(rows, entropy=True).entropy[~rows.completion].any()


@pytest.mark.parametrize(("make", "separable"), [(llama, True), (gpt2, True), (gemma2, False), (cohere, False)])
@pytest.mark.parametrize("spread", [0.4, 1e-3])
def test_logits_that_are_capped_or_scaled_are_noticed(make: object, separable: bool, spread: float) -> None:
    """With small fresh weights too, whose logits a cap leaves almost as they are."""
    model = make(initializer_range=spread)
    assert (Policy(model).trunk is not None) is separable
    assert not model.training
    assert Policy(model.train()).model.training


def test_logits_equal_to_the_heads_are_separable_at_scale_one() -> None:
    assert Policy(cohere(logit_scale=1.0)).trunk is not None


def test_probing_the_head_leaves_the_model_as_it_was() -> None:
    model, ids = llama(), torch.tensor([[1, 2, 3]])
    before = model(input_ids=ids).logits
    Policy(model)
    assert torch.equal(model(input_ids=ids).logits, before)


@pytest.mark.parametrize("make", [llama, gpt2])
def test_head_on_completion_positions_agrees_with_the_whole_model(make: object) -> None:
    policy, sequences = Policy(make()), pad(texts(6), 0)
    outputs, grads = [], []
    for trunk in (policy.trunk, None):
        policy.trunk = trunk
        policy.zero_grad()
        out = policy(sequences)
        out.logps.sum().backward()
        outputs.append(out.logps.detach())
        grads.append([p.grad.clone() for p in policy.parameters()])
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@every_model
@pytest.mark.parametrize("rows", [1, 5])
def test_a_head_in_chunks_gives_the_same_values_and_gradients(
    make: object, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Policy(make())
    parts = copy.deepcopy(whole)
    sequences = pad(texts(5), 0)
    weight = torch.randn(sequences.ids.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first = whole(sequences, entropy=True, collision=True)
    (first.logps * weight).sum().backward()
    monkeypatch.setattr(policy_module, "CHUNK_ELEMENTS", rows * VOCAB)
    second = parts(sequences, entropy=True, collision=True)
    (second.logps * weight).sum().backward()
    assert int(sequences.completion.sum()) > 2 * rows
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-6)


def test_entropy_carries_no_gradient() -> None:
    out = Policy(llama())(pad(texts(3), 0), entropy=True)
    assert out.logps.requires_grad
    assert not out.entropy.requires_grad


def test_only_what_is_asked_for_is_computed() -> None:
    policy, rows = Policy(llama()), pad(texts(3), 0)
    assert policy(rows)[1:] == (None, None)
    both = policy(rows, entropy=True, collision=True)
    assert torch.equal(policy(rows, collision=True).collision, both.collision)
    assert policy(rows, entropy=True).collision is None
    assert torch.equal(policy(rows).logps, both.logps)


def test_bfloat16_logits_are_raised_before_the_normaliser() -> None:
    """The result is exact for the logits the model returns: no further rounding, in float32."""
    policy, sequences = Policy(llama(dtype=torch.bfloat16)), pad(texts(6), 0)
    out = policy(sequences, entropy=True)
    logits = policy.completion_logits(sequences)
    assert logits.dtype is torch.bfloat16
    assert out.logps.dtype is out.entropy.dtype is torch.float32
    exact = logits.double().log_softmax(-1).gather(-1, sequences.ids[sequences.completion][:, None]).squeeze(-1)
    torch.testing.assert_close(out.logps[sequences.completion].double(), exact, rtol=0, atol=1e-5)


def test_completion_logits_predict_completion_tokens_row_by_row() -> None:
    policy, sequences = Policy(gpt2()), pad(texts(4), 0)
    logits = policy.completion_logits(sequences)
    picked = logits.log_softmax(-1).gather(-1, sequences.ids[sequences.completion][:, None]).squeeze(-1)
    torch.testing.assert_close(picked, policy(sequences).logps[sequences.completion], rtol=0, atol=1e-12)


def test_context_length_comes_from_the_config() -> None:
    assert max_positions(gpt2()) == Policy(gpt2()).max_positions == 32
    assert max_positions(llama(max_position_embeddings=77)) == 77


@pytest.mark.parametrize("make", [llama, gpt2])
def test_what_is_saved_is_an_ordinary_model_directory(make: object, tmp_path: Path) -> None:
    policy, sequences = Policy(make(dtype=torch.float32)), pad(texts(4), 0)
    policy.save(tmp_path, build("small"))
    again = Policy(AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True).eval())
    assert torch.equal(again(sequences).logps, policy(sequences).logps)
    assert not list(tmp_path.glob("*.bin"))
