"""ReMax against plain loops: the greedy completion as baseline, and who answers for KL."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from alignlab.plugins.remax.config import CREDITS as NAMES
from alignlab.plugins.remax.config import ReMaxConfig
from alignlab.plugins.remax.loss import CREDITS, advantages
from alignlab.plugins.remax.module import ReMaxModule
from doubles import Checksum, Replay, rollouts
from online import online, places, watched, weighted
from small import F64, fit, gpt2, gradients, weights

from alignlab.errors import ConfigError
from alignlab.models.policy import Policy
from alignlab.rollout.batch import Rollouts

TWIN = Policy(gpt2())
BASE = dict(batch_size=6, lr=1e-3, max_grad_norm=0.0, missing_end_penalty=0.5, discount=0.9)


class Recorded(Replay):
    """Remembers what it was asked for."""

    def sample(self, prompts: Any, noise: Any) -> Rollouts:
        self.asked = (list(prompts), noise)
        return self.steps[0].select(torch.arange(len(prompts)))


def learner(policy: Policy, *, micro: int = 0, total: int = 1, **settings: Any) -> Any:
    asked: list[tuple[Any, float]] = []
    greedy = Recorded(rollouts(TWIN, 6, seed=9))

    def new_engine(model: Any, *, temperature: float) -> Recorded:
        asked.append((model, temperature))
        return greedy

    config = ReMaxConfig(**(BASE | settings))
    module, batch = online(
        ReMaxModule, config, policy, rollouts(TWIN, 6), micro=micro, total=total, new_engine=new_engine
    )
    assert asked == [(policy, 0)]
    return module, batch


def scores(rollout: Rollouts) -> list[float]:
    raw = Checksum().score(rollout, None).tolist()
    return [value - (0 if end else 0.5) for value, end in zip(raw, rollout.ended.tolist(), strict=True)]


@pytest.mark.parametrize("credit", NAMES)
def test_advantages_are_those_of_a_loop(credit: str) -> None:
    sequences, beta, discount = rollouts(TWIN, 6).sequences, 0.3, 0.9
    torch.manual_seed(0)
    log_ratio = torch.randn(sequences.ids.shape, dtype=F64)
    rewards, greedy = torch.randn(2, 6, dtype=F64)
    found = advantages(rewards, greedy, log_ratio, sequences.completion, beta=beta, discount=discount, kl_credit=credit)
    expected = torch.zeros_like(found)
    for row, columns in enumerate(places(sequences)):
        for t in columns:
            answered = [s for s in columns if s == t or (s > t and credit == "to_go")]
            price = sum(discount ** (s - t) * log_ratio[row, s].item() for s in answered)
            gain = discount ** (columns[-1] - t) * (rewards[row] - greedy[row]).item()
            expected[row, t] = gain - beta * price
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("micro", [0, 4])
def test_first_gradient_is_that_of_reinforce_over_the_greedy_completion(size: int, micro: int) -> None:
    module, batch = learner(Policy(gpt2()), micro=micro, group_size=size)
    seen = watched(module)
    log = fit(module, [batch])[0]
    sampled, greedy = scores(rollouts(TWIN, 6)), scores(rollouts(TWIN, 6, seed=9))[: 6 // size]
    columns = places(seen[0].sequences)
    tokens = sum(map(len, columns))
    entries = [
        (row, t, 0.9 ** (ts[-1] - t) * (sampled[row] - greedy[row // size]) / tokens)
        for row, ts in enumerate(columns)
        for t in ts
    ]
    found = gradients(module.policy)
    for name, gradient in weighted(seen[0].sequences, entries).items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-12, msg=name)
    assert log["train/greedy_score"] == pytest.approx(sum(greedy) / len(greedy), abs=1e-12)


def test_one_greedy_completion_a_prompt_with_noise_of_its_own() -> None:
    module, batch = learner(Policy(gpt2()), group_size=2)
    seen = watched(module)
    fit(module, [batch])
    asked, noise = module.greedy.asked
    assert asked == [prompt for prompt, _ in seen[0].sequences.split()][::2]
    assert noise.rows.tolist() == [0, 2, 4]
    assert noise.seed != module.noise(3, 0).seed


@pytest.mark.parametrize("credit", NAMES)
def test_cutting_a_minibatch_changes_nothing(credit: str) -> None:
    after = []
    for micro in (0, 1, 4):
        module, batch = learner(Policy(gpt2()), micro=micro, total=2, minibatches=2, lr=3e-3, kl_credit=credit)
        fit(module, [batch, batch])
        after.append(weights(module.policy))
    for other in after[1:]:
        for name, value in after[0].items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-9, msg=name)


def test_settings_that_make_no_sense_are_refused() -> None:
    assert tuple(CREDITS) == NAMES
    for settings, message in (
        (dict(kl_credit="none"), "algo.kl_credit must be immediate or to_go, got 'none'\n  remedy: pass"),
        (dict(discount=1.1), "algo.discount must lie in [0, 1], got 1.1"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            ReMaxConfig(**settings)
