from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from alignlab.plugins.args import guide
from alignlab.plugins.args.config import ARGSConfig
from alignlab.plugins.args.guide import guided_logits, prefix_rewards, top_tokens
from alignlab.plugins.args.sampler import ARGSSampler
from sampling_parts import ENDS, PROMPTS, Favourite, sample, sampling_parts
from small import F64, VOCAB, gpt2, llama, scorer

from alignlab.data.batch import pad
from alignlab.errors import ConfigError
from alignlab.evaluation.measure_tokens import measure_tokens
from alignlab.models.policy import Policy
from alignlab.rewards.learned import LearnedReward


def sampler(k: int = 4, weight: float = 1.5, *, make: type = gpt2, reward: Any = None, **more: Any) -> ARGSSampler:
    given = sampling_parts(Policy(make()), reward=reward or Favourite(), **more)
    return ARGSSampler(ARGSConfig(top_k=k, reward_weight=weight), given)


def by_hand(prompt: list[int], reply: list[int], k: int, weight: float) -> list[list[float]]:
    """Probabilities of every token at every step of a reply, from the formula."""
    policy, reward, steps = Policy(gpt2()), Favourite(), []
    for t, token in enumerate(reply):
        with torch.no_grad():
            logits = policy.completion_logits(pad([([*prompt, *reply[:t]], [token])], 0))[0].tolist()
        kept = sorted(range(VOCAB), key=lambda v: -logits[v])[:k]
        raw = {v: math.exp(logits[v] + weight * reward.of([*reply[:t], v])) for v in kept}
        steps.append([raw.get(v, 0.0) / sum(raw.values()) for v in range(VOCAB)])
    return steps


@pytest.mark.parametrize(("k", "weight"), [(4, 1.5), (1, 1.0), (VOCAB, 3.0), (100, 0.5)])
def test_distribution_follows_the_formula(k: int, weight: float) -> None:
    guided = sampler(k, weight)
    rollouts = sample(guided)
    found = guided.completion_logits(rollouts.sequences).softmax(-1)
    expected = [row for given, reply in zip(PROMPTS, rollouts.completions(), strict=True)
                for row in by_hand(given, reply, k, weight)]  # fmt: skip
    torch.testing.assert_close(found, torch.tensor(expected, dtype=F64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", [gpt2, llama])
def test_samples_come_from_that_distribution(make: type) -> None:
    """With rows that end at different times, so that some leave the batch."""
    guided = sampler(make=make, new_tokens=10)
    rollouts = sample(guided, [[row % VOCAB, 4][: 1 + row % 2] for row in range(16)])
    assert len(set(rollouts.sequences.lengths.tolist())) > 1
    ids = rollouts.sequences.ids[rollouts.sequences.completion]
    logps = guided.completion_logits(rollouts.sequences).log_softmax(-1).gather(-1, ids[:, None]).squeeze(-1)
    torch.testing.assert_close(logps, rollouts.logps[rollouts.sequences.completion], rtol=0, atol=1e-5)


def test_without_reward_and_with_all_tokens_it_is_the_policy() -> None:
    plain = sampler(VOCAB, 0.0)
    rollouts, policy = sample(plain), Policy(gpt2())
    with torch.no_grad():
        assert torch.equal(plain.completion_logits(rollouts.sequences), policy.completion_logits(rollouts.sequences))
        torch.testing.assert_close(policy(rollouts.sequences).logps, rollouts.logps, rtol=0, atol=1e-5)


def test_temperature_zero_is_the_greedy_form() -> None:
    guided = sampler(temperature=0.0)
    rollouts = sample(guided)
    best = guided.completion_logits(rollouts.sequences).argmax(-1)
    assert best.tolist() == rollouts.sequences.ids[rollouts.sequences.completion].tolist()


def test_more_weight_earns_more_reward() -> None:
    prompts = [[row % VOCAB] for row in range(64)]
    means = [float(Favourite().score(sample(sampler(8, weight), prompts), None).mean()) for weight in (0.0, 3.0, 30.0)]
    assert means[0] < means[1] < means[2]


def test_drift_is_finite_though_tokens_are_impossible() -> None:
    guided, reference = sampler(2), Policy(gpt2())
    found = measure_tokens(guided.completion_logits, reference.completion_logits, sample(guided).sequences)
    assert all(torch.isfinite(column).all() for column in found)
    assert (found.kl > 0).all()


@pytest.mark.parametrize("cells", [1, 60, 1 << 22])
def test_rewards_are_those_of_each_prefix_whatever_the_cut(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guide, "CELLS", cells)
    reward = LearnedReward(scorer=scorer(3))
    rows = [([1, 2], [3, 4, 5]), ([6], [7]), ([8, 2, 1], [])]
    sequences = pad(rows, 0)
    lengths, candidates = sequences.attention.sum(-1), torch.tensor([[1, 2], [9, 3], [5, 0]])
    prompts = lengths - sequences.lengths
    found = prefix_rewards(reward, sequences.ids, prompts, lengths, candidates, ENDS)
    for row, (prompt, reply) in enumerate(rows):
        for column, token in enumerate(candidates[row].tolist()):
            alone = pad([(prompt, [*reply, token])], 0)
            assert float(found[row, column]) == pytest.approx(float(scorer(3)(alone).detach()), abs=1e-9)


def test_what_a_reward_is_shown() -> None:
    seen: list[tuple[list[int], list[int], bool]] = []

    class Watch(Favourite):
        def score(self, rollouts: Any, prompts: Any) -> torch.Tensor:
            seen.extend(
                (*row, end) for row, end in zip(rollouts.sequences.split(), rollouts.ended.tolist(), strict=True)
            )
            return super().score(rollouts, prompts)

    ids = torch.tensor([[3, 4, 11, 12]])  # what stands beyond the prefix is not part of it
    prefix_rewards(Watch(), ids, torch.tensor([1]), torch.tensor([2]), torch.tensor([[5, 9]]), ENDS)
    assert seen == [([3], [4, 5], False), ([3], [4, 9], True)]


def test_candidates_and_ties() -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0, 1.0], [5.0, 5.0, 5.0, 5.0]], dtype=F64)
    assert top_tokens(logits, 2).tolist() == [[1, 2], [0, 1]]
    near = torch.tensor([[1.0, 3.0, 1.0 + 1e-6, -7.0]], dtype=F64)
    assert top_tokens(near, 2, torch.tensor([0])).tolist() == [[1, 0]]  # drawn, and lost to rounding
    assert top_tokens(near, 2, torch.tensor([3])).tolist() == [[1, 2]]  # never drawn from these
    assert top_tokens(near, 2, torch.tensor([1])).tolist() == [[1, 2]]


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_other_tokens_have_probability_zero(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1.0, -1e4, 3.0]], dtype=dtype)
    guided = guided_logits(logits, torch.tensor([[0, 1]]), torch.tensor([[0.0, 1e4]], dtype=dtype), 1.0)
    expected = [1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0.0]
    torch.testing.assert_close(guided.softmax(-1)[0], torch.tensor(expected, dtype=dtype))
    assert torch.isfinite(guided.log_softmax(-1)).all()


@pytest.mark.parametrize(("name", "value"), [("top_k", 0), ("reward_weight", -0.1)])
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"algo\.{name} must lie in"):
        ARGSConfig(**{name: value})
