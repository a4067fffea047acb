"""RLOO against plain loops, and its kinship with the group mean."""

from __future__ import annotations

import math
import re
import statistics
from typing import Any

import pytest
import torch
from alignlab.plugins.grpo.config import GRPOConfig
from alignlab.plugins.grpo.module import GRPOModule
from alignlab.plugins.rloo.config import CHOICES, RLOOConfig
from alignlab.plugins.rloo.loss import SURROGATES, advantages
from alignlab.plugins.rloo.module import RLOOModule
from doubles import rollouts
from online import Given, online, places, watched, weighted
from small import F64, fit, gpt2, gradients, weights

from alignlab.errors import ConfigError
from alignlab.models.policy import Policy
from alignlab.modules.rollouts import Chunk

SCORES = (1.0, -0.5, 0.25, 2.0, 0.5, -1.0, 0.0, 3.0)
TWIN = Policy(gpt2())
BASE = dict(group_size=4, batch_size=8, lr=1e-3, max_grad_norm=0.0, missing_end_penalty=0.0)


def learner(policy: Policy, *, micro: int = 0, total: int = 1, **settings: Any) -> Any:
    config = RLOOConfig(**(BASE | settings))
    return online(RLOOModule, config, policy, rollouts(TWIN, 8), micro=micro, total=total, reward=Given(*SCORES))


def against_the_others(scores: list[float]) -> list[float]:
    groups = [scores[start : start + 4] for start in (0, 4)]
    return [g[i] - statistics.fmean(g[:i] + g[i + 1 :]) for g in groups for i in range(4)]


@pytest.mark.parametrize("place", CHOICES["kl_place"])
def test_advantages_are_those_of_a_loop(place: str) -> None:
    """In the reward the price of the whole completion is compared too; in the advantage it is not."""
    sequences, beta = rollouts(TWIN, 8).sequences, 0.3
    torch.manual_seed(0)
    log_ratio = torch.randn(sequences.ids.shape, dtype=F64)
    rewards, mask = torch.tensor(SCORES, dtype=F64), sequences.completion
    found = advantages(rewards, log_ratio, mask, group_size=4, beta=beta, kl_place=place)
    columns = places(sequences)
    paid = [beta * sum(log_ratio[row, t].item() for t in columns[row]) for row in range(8)]
    net = [s - p if place == "reward" else s for s, p in zip(SCORES, paid, strict=True)]
    expected = torch.zeros_like(found)
    for row, advantage in enumerate(against_the_others(net)):
        for t in columns[row]:
            to_go = beta * sum(log_ratio[row, s].item() for s in columns[row] if s >= t)
            expected[row, t] = advantage - (to_go if place == "advantage" else 0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("surrogate", CHOICES["surrogate"])
@pytest.mark.parametrize("micro", [0, 3])
def test_first_gradient_is_that_of_reinforce_against_the_others(surrogate: str, micro: int) -> None:
    module, batch = learner(Policy(gpt2()), micro=micro, surrogate=surrogate)
    seen = watched(module)
    fit(module, [batch])
    columns = places(seen[0].sequences)
    share = 1 / sum(map(len, columns)) if surrogate == "token_clip" else 1 / 8
    gains = against_the_others(list(SCORES))
    wanted = weighted(seen[0].sequences, [(row, t, gains[row] * share) for row in range(8) for t in columns[row]])
    found = gradients(module.policy)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-12, msg=name)


def test_the_group_mean_gives_the_same_gradient_shorter_by_g_less_one_over_g() -> None:
    """GRPO without deviation and KL, summed over tokens, is RLOO's gradient times 3/4 in groups of four."""
    module, batch = learner(Policy(gpt2()), beta=0.0)
    settings = dict(advantage_std="none", aggregate="constant", length_limit=1, kl_place="none")
    twin, _ = online(
        GRPOModule,
        GRPOConfig(**BASE, **settings),
        Policy(gpt2()),
        rollouts(TWIN, 8),
        reward=Given(*SCORES),
        reference=None,
    )
    fit(module, [batch])
    fit(twin, [batch])
    mine, other = gradients(module.policy), gradients(twin.policy)
    assert max(float(g.abs().max()) for g in mine.values()) > 1e-3
    for name, gradient in mine.items():
        torch.testing.assert_close(other[name], gradient * 3 / 4, rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize("surrogate", CHOICES["surrogate"])
def test_loss_of_a_policy_that_has_moved_is_that_of_a_loop(surrogate: str) -> None:
    module, _ = learner(Policy(gpt2(1)), surrogate=surrogate)
    sequences = rollouts(TWIN, 8).sequences
    with torch.no_grad():
        new, old = module.policy(sequences).logps, TWIN(sequences).logps
    gains = torch.tensor(SCORES, dtype=F64)[:, None] * sequences.completion
    known = dict(logps=old, advantages=gains)
    chunk = Chunk(sequences, known, sequences.completion.sum(), torch.tensor(8), False, torch.arange(8))
    columns = places(sequences)

    def bounded(log_q: float, gain: float) -> float:
        q = math.exp(log_q)
        return -min(q * gain, min(max(q, 0.8), 1.2) * gain)

    gaps = [[(new[row, t] - old[row, t]).item() for t in columns[row]] for row in range(8)]
    expected = {
        "reinforce": -sum(SCORES[row] * new[row, columns[row]].sum().item() for row in range(8)) / 8,
        "sequence_clip": sum(bounded(sum(gaps[row]), SCORES[row]) for row in range(8)) / 8,
        "token_clip": sum(bounded(g, SCORES[row]) for row in range(8) for g in gaps[row]) / sum(map(len, columns)),
    }
    assert module._loss(chunk)[0].item() == pytest.approx(expected[surrogate], abs=1e-12)


VARIANTS = [dict(), dict(surrogate="sequence_clip"), dict(surrogate="token_clip", kl_place="advantage")]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant.values())))
def test_cutting_a_minibatch_changes_nothing(variant: dict[str, Any]) -> None:
    after = []
    for micro in (0, 1, 3):
        module, batch = learner(Policy(gpt2()), micro=micro, total=2, minibatches=2, lr=3e-3, warmup=0.0, **variant)
        fit(module, [batch, batch])
        after.append(weights(module.policy))
    for other in after[1:]:
        for name, value in after[0].items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-9, msg=name)


def test_every_name_has_a_function() -> None:
    assert tuple(SURROGATES) == CHOICES["surrogate"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(group_size=1), "algo.group_size must lie in [2, inf), got 1"),
        (
            dict(surrogate="ppo"),
            "algo.surrogate must be reinforce, sequence_clip or token_clip, got 'ppo'",
        ),
        (dict(kl_place="loss"), "algo.kl_place must be reward or advantage, got 'loss'"),
        (dict(clip=0.0), "algo.clip must lie in (0, inf), got 0.0"),
        (dict(surrogate="sequence_clip", kl_place="advantage"), "algo.surrogate=sequence_clip has one advantage"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        RLOOConfig(**(BASE | settings))
