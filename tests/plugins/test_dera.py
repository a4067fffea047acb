from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from alignlab.plugins.dera.config import DeRaConfig
from alignlab.plugins.dera.sampler import DeRaSampler
from sampling_parts import PROMPTS, same, sample, sampling_parts
from small import F64, gpt2, llama

from alignlab.evaluation.measure_tokens import measure_tokens
from alignlab.models.policy import Policy
from alignlab.numerics.noise import Noise


def pair(make: type = gpt2) -> tuple[Policy, Policy]:
    return Policy(make(0)), Policy(make(1))


def sampler(weight: float, *, make: type = gpt2, temperature: float = 1.0) -> DeRaSampler:
    reference, aligned = pair(make)
    given = sampling_parts(aligned, reference=reference, temperature=temperature)
    return DeRaSampler(DeRaConfig(aligned_weight=weight), given)


@pytest.mark.parametrize("make", [gpt2, llama])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_ends_are_the_models_themselves_to_the_bit(make: type, weight: float) -> None:
    alone = pair(make)[int(weight)]
    parts = sampling_parts(alone)
    expected = parts.engine.sample(PROMPTS, Noise(3, torch.arange(4)))
    mixed = sampler(weight, make=make)
    assert same(sample(mixed), expected)
    with torch.no_grad():
        own = alone.completion_logits(expected.sequences)
        assert torch.equal(mixed.completion_logits(expected.sequences), own)


@pytest.mark.parametrize("weight", [0.25, 0.5, 1.5])
def test_distribution_is_the_geometric_mean_of_both(weight: float) -> None:
    mixed = sampler(weight)
    sequences = sample(mixed).sequences
    with torch.no_grad():
        ref, aligned = (policy.completion_logits(sequences).softmax(-1).tolist() for policy in pair())
    found = mixed.completion_logits(sequences).softmax(-1).tolist()
    for row, p, q in zip(found, ref, aligned, strict=True):
        raw = [a ** (1 - weight) * b**weight for a, b in zip(p, q, strict=True)]
        assert row == pytest.approx([each / sum(raw) for each in raw], abs=1e-9)


@pytest.mark.parametrize("make", [gpt2, llama])
def test_samples_come_from_that_distribution(make: type) -> None:
    mixed = sampler(0.6, make=make)
    rollouts = sample(mixed)
    logps = mixed.completion_logits(rollouts.sequences).log_softmax(-1)
    ids = rollouts.sequences.ids[rollouts.sequences.completion]
    drawn = rollouts.logps[rollouts.sequences.completion]
    torch.testing.assert_close(logps.gather(-1, ids[:, None]).squeeze(-1), drawn, rtol=0, atol=1e-5)


def test_frequencies_of_a_first_token() -> None:
    mixed, rows = sampler(0.5), 20_000
    first = torch.tensor([reply[0] for reply in sample(mixed, [[3]] * rows).completions()])
    with torch.no_grad():
        one = sample(mixed, [[3]]).sequences
        expected = mixed.completion_logits(one)[0].softmax(-1)
    found = torch.bincount(first, minlength=len(expected)) / rows
    assert ((found - expected).abs() < 5 * (expected * (1 - expected) / rows).sqrt() + 1e-4).all()


def test_kl_grows_with_the_weight_and_is_exact() -> None:
    reference, aligned = pair()
    sequences = sample(sampler(0.5)).sequences
    found = [
        measure_tokens(sampler(weight).completion_logits, reference.completion_logits, sequences).kl
        for weight in (0.0, 0.25, 0.5, 1.0)
    ]
    assert found[0].abs().max() == 0
    assert all((more > less).all() for less, more in pairwise(found))
    with torch.no_grad():
        p, q = (policy.completion_logits(sequences).softmax(-1) for policy in (aligned, reference))
    by_hand = sum(float(a * math.log(a / b)) for a, b in zip(p.flatten(), q.flatten(), strict=True))
    assert float(found[-1].sum()) == pytest.approx(by_hand)


def test_temperature_applies_after_mixing() -> None:
    mixed = sampler(0.5, temperature=0.0)
    rollouts = sample(mixed)
    best = mixed.completion_logits(rollouts.sequences).argmax(-1)
    assert best.tolist() == rollouts.sequences.ids[rollouts.sequences.completion].tolist()
    assert rollouts.logps.dtype == F64
