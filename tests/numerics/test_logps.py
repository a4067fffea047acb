"""Log-probabilities against plain loops, and as probabilities: all completions together are certain."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from small import gemma2, gpt2, llama

from alignlab.data.batch import pad
from alignlab.models.policy import Policy
from alignlab.numerics.logps import PairLogps, entropy, select_logps, sequence_logps, upcast

F64 = torch.float64


def log_softmax(row: list[float]) -> list[float]:
    top = max(row)
    norm = top + math.log(sum(math.exp(x - top) for x in row))
    return [x - norm for x in row]


@pytest.fixture
def logits() -> torch.Tensor:
    torch.manual_seed(0)
    return 3 * torch.randn(2, 4, 5, dtype=F64)


def test_selected_logps_are_those_of_a_loop(logits: torch.Tensor) -> None:
    ids = torch.tensor([[0, 4, 2, 2], [3, 1, 0, 4]])
    expected = [[log_softmax(logits[b, t].tolist())[ids[b, t]] for t in range(4)] for b in range(2)]
    torch.testing.assert_close(select_logps(logits, ids), torch.tensor(expected, dtype=F64), rtol=0, atol=1e-14)


def test_entropy_is_that_of_a_loop(logits: torch.Tensor) -> None:
    rows = [[log_softmax(logits[b, t].tolist()) for t in range(4)] for b in range(2)]
    expected = [[-sum(math.exp(x) * x for x in row) for row in rows_] for rows_ in rows]
    torch.testing.assert_close(entropy(logits), torch.tensor(expected, dtype=F64), rtol=0, atol=1e-14)


@pytest.mark.parametrize("vocab", [2, 7, 1000])
def test_entropy_of_the_uniform_distribution_is_log_vocab(vocab: int) -> None:
    assert entropy(torch.full((vocab,), 4.2, dtype=F64)).item() == pytest.approx(math.log(vocab), abs=1e-13)


def test_gradient_is_indicator_minus_probability(logits: torch.Tensor) -> None:
    ids = torch.tensor([[0, 4, 2, 2], [3, 1, 0, 4]])
    leaf = logits.clone().requires_grad_()
    select_logps(leaf, ids).sum().backward()
    for b, t, v in itertools.product(range(2), range(4), range(5)):
        expected = float(v == ids[b, t]) - math.exp(log_softmax(logits[b, t].tolist())[v])
        assert leaf.grad[b, t, v].item() == pytest.approx(expected, abs=1e-14)


def test_derivatives_agree_with_finite_differences(logits: torch.Tensor) -> None:
    ids = torch.tensor([[0, 4, 2, 2], [3, 1, 0, 4]])
    leaf = logits.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: select_logps(x, ids), leaf)
    assert torch.autograd.gradcheck(entropy, leaf)


def test_shifting_all_logits_changes_nothing(logits: torch.Tensor) -> None:
    ids, shift = torch.zeros(2, 4, dtype=torch.long), torch.linspace(-50, 50, 8, dtype=F64).view(2, 4, 1)
    torch.testing.assert_close(select_logps(logits + shift, ids), select_logps(logits, ids), rtol=0, atol=1e-13)
    torch.testing.assert_close(entropy(logits + shift), entropy(logits), rtol=0, atol=1e-13)


def test_permuting_the_vocabulary_permutes_the_ids(logits: torch.Tensor) -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    ids = torch.tensor([[0, 4, 2, 2], [3, 1, 0, 4]])
    torch.testing.assert_close(select_logps(logits[..., order], ids), select_logps(logits, order[ids]))


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_extreme_logits_stay_finite(size: float) -> None:
    logits = torch.tensor([[size, -size, 0.0]], requires_grad=True)
    ids = torch.tensor([1])
    total = select_logps(logits, ids).sum() + entropy(logits).sum()
    total.backward()
    assert select_logps(logits, ids).item() == pytest.approx(-2 * size, rel=1e-6)
    assert entropy(logits).item() == 0
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_raised_before_the_normaliser(dtype: torch.dtype) -> None:
    """A log-softmax in bfloat16 is off by hundredths of a nat; of the rounded logits, the result is exact."""
    torch.manual_seed(0)
    logits = (5 * torch.randn(64, 500)).to(dtype)
    ids = torch.randint(500, (64,))
    found = select_logps(logits, ids)
    exact = logits.double().log_softmax(-1).gather(-1, ids[:, None]).squeeze(-1)
    assert found.dtype is torch.float32
    assert entropy(logits).dtype is torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-5)
    assert (logits.log_softmax(-1).gather(-1, ids[:, None]).squeeze(-1).double() - exact).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_full_precision_is_left_alone(dtype: torch.dtype) -> None:
    x = torch.ones(2, dtype=dtype)
    assert upcast(x) is x


def test_sequence_logps_sum_the_selected_tokens_of_a_row() -> None:
    token_logps = torch.tensor([[9.0, -1.0, -2.0, 7.0], [-3.0, -4.0, 5.0, -6.0]], dtype=F64)
    mask = torch.tensor([[0, 1, 1, 0], [1, 1, 0, 0]])
    assert sequence_logps(token_logps, mask).tolist() == [-3.0, -7.0]
    assert sequence_logps(token_logps, mask.bool()).tolist() == [-3.0, -7.0]


def test_margin_is_chosen_minus_rejected() -> None:
    lengths = torch.ones(2)
    pair = PairLogps(torch.tensor([-1.0, -5.0]), torch.tensor([-3.0, -2.0]), lengths, lengths)
    assert pair.margin.tolist() == [2.0, -3.0]


@pytest.mark.parametrize("make", [llama, gpt2, gemma2])
@pytest.mark.parametrize("prompt", [[1], [2, 0, 1]])
def test_probabilities_of_all_completions_sum_to_one(make: object, prompt: list[int]) -> None:
    """The only test a log-probability really has to pass, for real models: 4 tokens, completions of 3."""
    policy = Policy(make(vocab_size=4))
    rows = [(prompt, list(reply)) for reply in itertools.product(range(4), repeat=3)]
    with torch.no_grad():
        total = policy(pad(rows, 0)).logps.sum(-1).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)


def test_probabilities_of_completions_that_end_sum_to_one() -> None:
    """Completions of at most 3 tokens, where token 0 ends one: the tree of everything a sampler can return."""
    policy = Policy(llama(vocab_size=3))
    replies = [[0], *([a, 0] for a in (1, 2)), *([a, b, c] for a in (1, 2) for b in (1, 2) for c in range(3))]
    with torch.no_grad():
        total = policy(pad([([2, 1], reply) for reply in replies], 0)).logps.sum(-1).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)
