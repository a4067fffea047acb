"""Mixtures of policies against plain enumeration of everything they can write."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from small import gpt2, llama

from alignlab.errors import ConfigError, ModelError
from alignlab.models.policy import Policy
from alignlab.numerics.noise import Noise
from alignlab.rollout.mixture import MixtureEngine, mixed_logits
from alignlab.rollout.sampling import Sampling
from alignlab.rollout.transformers_engine import TransformersEngine

VOCAB, END, LONGEST = 4, 3, 3
PROMPTS = [[0, 1], [2, 0, 2]]
SETTINGS = dict(end_ids=(END,), pad_id=0)
MAKE = {
    "gpt2": (gpt2, gpt2),
    "llama": (llama, llama),  # the built-in engine's cache
    "both": (llama, gpt2),
}


def policies(kind: str) -> list[Policy]:
    return [Policy(make(seed, vocab_size=VOCAB)) for seed, make in enumerate(MAKE[kind], start=1)]


def engine(given: Sequence[Policy], weights: Sequence[float], **sampling: float) -> MixtureEngine:
    return MixtureEngine(given, weights, sampling=Sampling(max_new_tokens=LONGEST, **sampling), **SETTINGS)


def next_token(given: Sequence[Policy], weights: Sequence[float], ids: list[int]) -> list[float]:
    """The mixture's next-token distribution after unpadded ids, by plain arithmetic."""
    logs = [policy.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1).tolist() for policy in given]
    powers = [math.exp(sum(w * log[v] for w, log in zip(weights, logs, strict=True))) for v in range(VOCAB)]
    return [power / sum(powers) for power in powers]


def enumerated(given: Sequence[Policy], weights: Sequence[float], prompt: list[int]) -> dict[tuple[int, ...], float]:
    """Probability of every completion."""
    open_, closed = {(): 1.0}, dict[tuple[int, ...], float]()
    for _ in range(LONGEST):
        ahead: dict[tuple[int, ...], float] = {}
        for reply, mass in open_.items():
            for v, p in enumerate(next_token(given, weights, prompt + list(reply))):
                (closed if v == END else ahead)[(*reply, v)] = mass * p
        open_ = ahead
    return closed | open_


@pytest.mark.parametrize("kind", sorted(MAKE))
@pytest.mark.parametrize("weights", [(0.875, 0.125), (-0.5, 1.5), (1.3, 0.6)], ids=str)
@torch.no_grad()
def test_samples_follow_the_enumerated_distribution(kind: str, weights: tuple[float, float]) -> None:
    given, rows = policies(kind), 2000
    rollouts = engine(given, weights).sample(PROMPTS * rows, Noise(5, torch.arange(2 * rows)))
    found = rollouts.completions()
    for number, prompt in enumerate(PROMPTS):
        exact = enumerated(given, weights, prompt)
        assert sum(exact.values()) == pytest.approx(1, abs=1e-12)
        counts = Counter(tuple(reply) for reply in found[number::2])
        assert set(counts) <= set(exact)
        for reply, p in exact.items():
            assert abs(counts[reply] - rows * p) <= 5 * math.sqrt(rows * p * (1 - p)) + 1
    both = [enumerated(given, weights, prompt) for prompt in PROMPTS]
    for row in range(40):
        assert rollouts.logps[row].sum().item() == pytest.approx(math.log(both[row % 2][tuple(found[row])]), abs=1e-5)
        assert bool(rollouts.ended[row]) is (found[row][-1] == END)


@pytest.mark.parametrize("kind", sorted(MAKE))
def test_logits_are_those_that_were_sampled_from(kind: str) -> None:
    mixture = engine(policies(kind), (0.3, 0.9))
    rollouts = mixture.sample(PROMPTS * 10, Noise(1, torch.arange(20)))
    mask = rollouts.sequences.completion
    logps = mixture.completion_logits(rollouts.sequences).log_softmax(-1)
    drawn = logps.gather(-1, rollouts.sequences.ids[mask][:, None]).squeeze(-1)
    torch.testing.assert_close(drawn, rollouts.logps[mask].to(drawn.dtype), rtol=0, atol=1e-5)


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.25, 0.75)])
def test_one_policy_however_it_is_weighed_is_that_policy(weights: tuple[float, float]) -> None:
    policy, other = policies("gpt2")
    noise = Noise(2, torch.arange(30))
    alone = TransformersEngine(policy.model, sampling=Sampling(max_new_tokens=LONGEST), **SETTINGS)
    expected = alone.sample(PROMPTS * 15, noise)
    found = engine([policy, other if weights[1] == 0 else policy], weights).sample(PROMPTS * 15, noise)
    assert found.completions() == expected.completions()
    torch.testing.assert_close(found.logps, expected.logps, rtol=0, atol=1e-6)


def test_three_policies_and_a_temperature() -> None:
    """log p1 + log p2 - log p2 is log p1, and greedy takes its mode."""
    first, second = policies("gpt2")
    found = engine([first, second, second], (1.0, 1.0, -1.0), temperature=0).sample(PROMPTS, Noise(0, torch.arange(2)))
    with torch.no_grad():
        for prompt, reply in zip(PROMPTS, found.completions(), strict=True):
            mode = first.model(torch.tensor([prompt])).logits[0, -1].argmax()
            assert reply[0] == mode


def test_mixed_logits_by_hand() -> None:
    one, two = torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([0.1, 0.1, 0.8]).log() + 7
    mixed = mixed_logits([one, two], [2.0, -1.0]).softmax(-1)
    powers = torch.tensor([0.25 / 0.1, 0.09 / 0.1, 0.04 / 0.8])
    torch.testing.assert_close(mixed, powers / powers.sum())


def test_what_cannot_be_mixed_is_refused() -> None:
    first, second = policies("gpt2")
    with pytest.raises(ConfigError, match="every weight of the mixture is 0"):
        engine([first, second], (0.0, 0.0))
    with pytest.raises(ModelError, match="policies with 4 and 5 token ids cannot be mixed"):
        engine([first, Policy(gpt2(vocab_size=5))], (0.5, 0.5))


def test_modes_are_given_back_and_no_graph_is_kept() -> None:
    first, second = policies("gpt2")
    first.train()
    rollouts = engine([first, second], (0.5, 0.5)).sample(PROMPTS, Noise(0, torch.arange(2)))
    assert first.model.training
    assert not second.model.training
    assert not rollouts.logps.requires_grad
