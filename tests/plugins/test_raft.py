"""RAFT and expert iteration against plain likelihoods of what is kept."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from alignlab.plugins.raft.config import RAFTConfig
from alignlab.plugins.raft.loss import best_of_each, imitation
from alignlab.plugins.raft.module import RAFTModule
from grouped import grouped, made, prompts_of, scores, summed
from small import F64, fit, gpt2, gradients, weights

from alignlab.errors import ConfigError
from alignlab.models.policy import Policy
from alignlab.rollout.batch import Rollouts

PROMPTS, SIZE = 4, 3


def learner(rollout: Rollouts, micro: int = 0, **settings: Any) -> RAFTModule:
    base = dict(batch_size=rollout.rows, group_size=SIZE, lr=1e-2, warmup=0.0, max_grad_norm=0.0)
    config = RAFTConfig(**(base | settings))
    return made(RAFTModule, config, rollout, policy=Policy(gpt2()), reference=None, micro=micro)


def kept_rows(rollout: Rollouts, keep: str, **cut: float) -> list[int]:
    rewards = scores(rollout)
    if keep == "best":
        starts = range(0, rollout.rows, SIZE)
        return [max(range(start, start + SIZE), key=lambda i: rewards[i]) for start in starts]
    if keep == "threshold":
        return [i for i, reward in enumerate(rewards) if reward >= cut["threshold"]]
    ordered, place = sorted(rewards), cut["quantile"] * (len(rewards) - 1)
    low = int(place)
    edge = ordered[low] + (place - low) * (ordered[min(low + 1, len(rewards) - 1)] - ordered[low])
    return [i for i, reward in enumerate(rewards) if reward >= edge - 1e-12]


def test_the_best_of_each_group_by_hand() -> None:
    rewards = torch.tensor([[0.0, 2.0, 1.0], [5.0, 5.0, 4.0], [-3.0, -2.0, -1.0]])
    assert best_of_each(rewards).int().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_imitation_by_hand_in_value_and_gradient() -> None:
    logps = torch.tensor([[0.0, -1.0, -2.0], [0.0, -4.0, -8.0]], dtype=F64, requires_grad=True)
    mask, kept = torch.tensor([[0, 1, 1], [0, 1, 0]]), torch.tensor([0.0, 1.0], dtype=F64)
    loss = imitation(logps, mask, kept, 5.0)
    assert loss.item() == pytest.approx(4 / 5)
    (gradient,) = torch.autograd.grad(loss, logps)
    assert gradient.tolist() == [[0, 0, 0], [0, pytest.approx(-1 / 5), 0]]


@pytest.mark.parametrize("micro", [0, 1, 3])
@pytest.mark.parametrize(
    ("keep", "cut"), [("best", {}), ("quantile", {"quantile": 0.6}), ("threshold", {"threshold": -0.4})]
)
def test_the_update_is_that_of_fine_tuning_on_what_is_kept(keep: str, cut: dict[str, float], micro: int) -> None:
    rollout = grouped(Policy(gpt2()), PROMPTS, SIZE, seed=1)
    module = learner(rollout, micro, keep=keep, **cut)
    log = fit(module, [prompts_of(rollout, SIZE)])[0]
    rows, plain = kept_rows(rollout, keep, **cut), Policy(gpt2())
    assert 0 < len(rows) < rollout.rows
    tokens = sum(len(reply) for reply in (rollout.completions()[row] for row in rows))
    loss = -summed(plain, rollout)[rows].sum() / tokens
    loss.backward()
    expected = gradients(plain)
    for name, gradient in gradients(module.policy).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-12, msg=name)
    assert log["train/loss"] == pytest.approx(loss.item(), abs=1e-10)
    assert log["train/kept"] == pytest.approx(len(rows) / rollout.rows)
    rewards = scores(rollout)
    gain = sum(rewards[row] for row in rows) / len(rows) - sum(rewards) / len(rewards)
    assert log["train/kept_gain"] == pytest.approx(gain)
    assert "train/kl" not in log


@pytest.mark.parametrize("minibatches", [2, 4])
def test_updates_of_a_pass_add_up_to_the_mean_over_kept_tokens(minibatches: int) -> None:
    rollout = grouped(Policy(gpt2()), PROMPTS, SIZE, seed=1)
    module = learner(rollout, minibatches=minibatches, rollout_epochs=2, keep="threshold", threshold=0.5, lr=1e-30)
    log = fit(module, [prompts_of(rollout, SIZE)])[0]
    rows = kept_rows(rollout, "threshold", threshold=0.5)
    tokens = sum(len(rollout.completions()[row]) for row in rows)
    assert log["train/loss"] == pytest.approx(-summed(Policy(gpt2()), rollout)[rows].sum().item() / tokens, abs=1e-10)


def test_nothing_kept_is_no_update() -> None:
    rollout = grouped(Policy(gpt2()), PROMPTS, SIZE)
    module = learner(rollout, keep="threshold", threshold=9.0)
    before = weights(module.policy)
    log = fit(module, [prompts_of(rollout, SIZE)])[0]
    assert log["train/kept"] == 0
    assert "train/loss" not in log
    assert all(torch.equal(before[name], value) for name, value in weights(module.policy).items())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(keep="all"), "algo.keep must be best, quantile or threshold, got 'all'"),
        (dict(group_size=1), "algo.keep=best of algo.group_size=1 completion keeps everything"),
        (dict(quantile=1.0), "algo.quantile must lie in [0, 1), got 1.0"),
        (dict(beta=0.1), "algo.beta must lie in [0, 0], got 0.1\n  remedy: Not used"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        RAFTConfig(**setting)
