from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from alignlab.data.batch import Sequences, pad
from alignlab.errors import DataError
from alignlab.evaluation.measure_tokens import measure_tokens

VOCABULARY, LENGTH, END = 3, 3, 0
"""Completions end with END or after LENGTH tokens: 1 + 2 + 4 + 8 = 15, of which 8 are cut."""


class Tabular:
    """A policy with free next-token logits for every prefix of a completion, float64."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.table: dict[tuple[int, ...], Tensor] = {}

    def logits(self, prefix: tuple[int, ...]) -> Tensor:
        if prefix not in self.table:
            self.table[prefix] = torch.randn(VOCABULARY, generator=self.generator, dtype=torch.float64)
        return self.table[prefix]

    def __call__(self, sequences: Sequences) -> Tensor:
        rows = [reply for _, reply in sequences.split()]
        return torch.stack([self.logits(tuple(reply[:t])) for reply in rows for t in range(len(reply))])

    def logp(self, reply: tuple[int, ...]) -> float:
        steps = (self.logits(reply[:t]).log_softmax(-1)[token] for t, token in enumerate(reply))
        return float(sum(steps))


def completions() -> list[tuple[int, ...]]:
    every = []
    for n in range(1, LENGTH + 1):
        for body in itertools.product(range(1, VOCABULARY), repeat=n - 1):
            every.append((*body, END))
    every += list(itertools.product(range(1, VOCABULARY), repeat=LENGTH))
    return every


@pytest.fixture
def models() -> tuple[Tabular, Tabular]:
    policy, reference = Tabular(0), Tabular(1)
    for reply in completions():  # the tables must not depend on the order in which prefixes are asked for
        policy.logp(reply)
        reference.logp(reply)
    return policy, reference


def batch(replies: list[tuple[int, ...]]) -> Sequences:
    return pad([([5] * (1 + i % 3), list(reply)) for i, reply in enumerate(replies)], pad_id=0)


def test_expectations_over_all_completions_are_the_sequence_kl(models):
    policy, reference = models
    every = completions()
    found = measure_tokens(policy, reference, batch(every))
    weights = torch.tensor([math.exp(policy.logp(reply)) for reply in every], dtype=torch.float64)
    truth = sum(math.exp(policy.logp(y)) * (policy.logp(y) - reference.logp(y)) for y in every)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-14)
    assert float(weights @ found.kl) == pytest.approx(truth, abs=1e-13)
    assert float(weights @ found.k1) == pytest.approx(truth, abs=1e-13)
    assert float(weights @ found.k3) == pytest.approx(truth, abs=1e-13)
    spread = weights @ (found.kl - truth) ** 2
    assert spread < weights @ (found.k1 - truth) ** 2, "the exact estimate must vary less than k1"
    entropy = -sum(math.exp(policy.logp(y)) * policy.logp(y) for y in every)
    lengths = torch.tensor([float(len(reply)) for reply in every], dtype=torch.float64)
    assert float(weights @ (found.entropy * lengths)) == pytest.approx(entropy, abs=1e-13)


def test_each_completion_agrees_with_a_loop_over_its_tokens(models):
    policy, reference = models
    every = completions()
    found = measure_tokens(policy, reference, batch(every))
    for row, reply in enumerate(every):
        kl = k3 = entropy = 0.0
        for t, token in enumerate(reply):
            p, q = (model.logits(reply[:t]).softmax(-1).tolist() for model in (policy, reference))
            kl += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
            ratio = q[token] / p[token]
            k3 += ratio - 1 - math.log(ratio)
            entropy -= sum(a * math.log(a) for a in p)
        expected = (kl, policy.logp(reply) - reference.logp(reply), k3, entropy / len(reply), policy.logp(reply))
        assert [float(column[row]) for column in found] == pytest.approx(expected, abs=1e-13)


def test_identical_policies_are_at_distance_exactly_zero(models):
    policy, _ = models
    found = measure_tokens(policy, policy, batch(completions()))
    for column in (found.kl, found.k1, found.k3):
        assert torch.equal(column, torch.zeros_like(column))


@pytest.mark.parametrize(("rows", "budget"), [(1, 1), (4, 7), (15, 6), (64, 1 << 24)])
def test_nothing_depends_on_how_the_work_is_cut(models, rows, budget):
    whole = measure_tokens(*models, batch(completions()))
    parts = measure_tokens(*models, batch(completions()), rows=rows, budget=budget)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-14)


def test_order_and_padding_do_not_matter(models):
    every = completions()
    order = list(reversed(range(len(every))))
    found = measure_tokens(*models, batch(every))
    turned = measure_tokens(*models, batch([every[i] for i in order]))
    wide = batch(every)
    wide = Sequences(*(torch.nn.functional.pad(field, (0, 3)) for field in wide))
    for one, other, padded in zip(found, turned, measure_tokens(*models, wide), strict=True):
        torch.testing.assert_close(one[order], other, rtol=0, atol=1e-14)
        assert torch.equal(one, padded)


def test_half_precision_logits_are_measured_in_float32():
    generator = torch.Generator().manual_seed(0)
    sequences = batch([(1, 2, 0), (0,)])
    policy, reference = (torch.randn(4, 50, generator=generator).bfloat16() for _ in range(2))
    half = measure_tokens(lambda _: policy, lambda _: reference, sequences)
    exact = measure_tokens(lambda _: policy.double(), lambda _: reference.double(), sequences)
    for one, other in zip(half, exact, strict=True):
        assert one.dtype is torch.float64
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_no_rows_give_no_figures(models):
    empty = Sequences(*(torch.zeros(0, 4, dtype=kind) for kind in (torch.long, torch.bool, torch.bool)))
    assert [column.shape for column in measure_tokens(*models, empty)] == [(0,)] * 5


def test_a_completion_without_tokens_is_refused(models):
    with pytest.raises(DataError, match="completion 1 has no token"):
        measure_tokens(*models, pad([([5], [1, 0]), ([5], [])], pad_id=0))
