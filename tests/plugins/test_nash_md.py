"""Nash-MD: its policy gradient by enumeration, its updates by plain loops, its opponent a mixture."""

from __future__ import annotations

import copy
import math
from itertools import product
from typing import Any

import pytest
import torch
from alignlab.plugins.nash_md.config import NashMDConfig
from alignlab.plugins.nash_md.loss import advantages
from alignlab.plugins.nash_md.module import NashMDModule
from doubles import Replay
from grouped import made, prompts_of, rivalled, scores, summed
from small import F64, VOCAB, fit, gpt2, gradients

from alignlab.errors import ConfigError
from alignlab.models.policy import Policy
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.sampling import Sampling
from alignlab.rollout.transformers_engine import TransformersEngine

BETA, PROMPTS = 0.2, 5


@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
def test_advantages_are_those_of_a_loop(discount: float) -> None:
    torch.manual_seed(0)
    logps, reference = torch.randn(2, 2, 6, dtype=F64)
    mask = torch.tensor([[0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1]])
    found = advantages(torch.tensor([0.9, 0.2]), logps, reference, mask, beta=BETA, kl_discount=discount)
    for b, preference in enumerate((0.9, 0.2)):
        for t in range(6):
            later = [(s, logps[b, s] - reference[b, s]) for s in range(t, 6) if mask[b, s]]
            drift = sum(float(u) * discount ** (s - t) for s, u in later)
            expected = preference - 0.5 - BETA * drift if mask[b, t] else 0.0
            assert found[b, t].item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("discount", "exact"), [(1.0, True), (0.0, False)])
def test_the_expected_update_is_the_gradient_of_wins_minus_kl(discount: float, exact: bool) -> None:
    """Over all 9 completions of 2 tokens from 3; at discount 0 the first token misses what it does to the second."""
    torch.manual_seed(1)
    first, second = torch.randn(3, dtype=F64, requires_grad=True), torch.randn(3, 3, dtype=F64, requires_grad=True)
    reference = torch.randn(3, dtype=F64).log_softmax(-1), torch.randn(3, 3, dtype=F64).log_softmax(-1)
    pairs = torch.tensor(list(product(range(3), range(3))))
    a, b = pairs[:, 0], pairs[:, 1]
    wins = torch.rand(9, dtype=F64)

    def logps(tables: Any) -> torch.Tensor:
        return torch.stack([tables[0][a], tables[1][a, b]], 1)

    policy, fixed = logps((first.log_softmax(-1), second.log_softmax(-1))), logps(reference)
    mass = policy.sum(1).exp()
    objective = (mass * (wins - BETA * (policy - fixed).sum(1))).sum()
    expected = torch.autograd.grad(objective, (first, second), retain_graph=True)
    earned = advantages(wins, policy.detach(), fixed, torch.ones(9, 2), beta=BETA, kl_discount=discount)
    found = torch.autograd.grad((mass.detach()[:, None] * earned * policy).sum(), (first, second))
    gaps = [float((x - y).abs().max()) for x, y in zip(found, expected, strict=True)]
    assert (max(gaps) < 1e-14) is exact
    assert gaps[1] < 1e-14  # nothing follows the second token


def learner(own: Rollouts, other: Rollouts, total: int = 1, micro: int = 0, **settings: Any) -> NashMDModule:
    base = dict(batch_size=own.rows, lr=1e-2, warmup=0.0, max_grad_norm=0.0, beta=BETA, schedule="constant")
    policy = Policy(gpt2())
    engine = Replay(own, policy=policy)
    engine.sampling = Sampling(max_new_tokens=4)
    config = NashMDConfig(**(base | settings))
    module = made(NashMDModule, config, policy=policy, engine=engine, total=total, micro=micro)
    module.opponent = Replay(other)
    return module


@pytest.mark.parametrize("micro", [0, 1, 3])
def test_updates_have_the_gradient_of_a_loop(micro: int) -> None:
    """In the second iteration, where the policy has moved, KL counts too."""
    own, other = rivalled(Policy(gpt2()), PROMPTS, same=[1])
    module = learner(own, other, total=2, micro=micro)
    copies: list[Policy] = []
    original = module.learn

    def spy(experience: Any, batch_idx: int) -> dict[str, float]:
        copies.append(copy.deepcopy(module.policy))
        return original(experience, batch_idx)

    module.learn = spy
    log = fit(module, [prompts_of(own, 1)] * 2)
    wins = [1 / (1 + math.exp(b - a)) for a, b in zip(scores(own), scores(other), strict=True)]
    assert log[0]["train/win_rate"] == pytest.approx(sum(wins) / PROMPTS)
    assert log[0]["train/score_lead"] == pytest.approx((sum(scores(own)) - sum(scores(other))) / PROMPTS)
    moved, start = copies[1], Policy(gpt2())
    moved.zero_grad()
    loss = torch.zeros((), dtype=F64)
    for number, (prompt, reply) in enumerate(own.sequences.split()):
        both = [each.model(torch.tensor([prompt + reply])).logits[0].log_softmax(-1) for each in (moved, start)]
        mine, fixed = ([logs[len(prompt) + t - 1, v] for t, v in enumerate(reply)] for logs in both)
        drift = [float((x - y).detach()) for x, y in zip(mine, fixed, strict=True)]
        loss = loss - sum((wins[number] - 0.5 - BETA * sum(drift[t:])) * mine[t] for t in range(len(reply))) / PROMPTS
    loss.backward()
    expected = gradients(moved)
    assert max(float(g.abs().max()) for g in expected.values()) > 1e-3
    for name, gradient in gradients(module.policy).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-10, msg=name)


def test_the_first_update_is_towards_wins_alone() -> None:
    own, other = rivalled(Policy(gpt2()), PROMPTS, seed=2)
    module = learner(own, other)
    log = fit(module, [prompts_of(own, 1)])[0]
    logps = summed(Policy(gpt2()), own)
    wins = [1 / (1 + math.exp(b - a)) for a, b in zip(scores(own), scores(other), strict=True)]
    expected = -sum((p - 0.5) * float(logp) for p, logp in zip(wins, logps, strict=True)) / PROMPTS
    assert log["train/loss"] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("mixture", [0.0, 0.25, 1.0])
def test_the_opponent_is_the_mixture_of_the_live_policy_and_the_reference(mixture: float) -> None:
    """A whole iteration with real engines."""
    policy = Policy(gpt2())
    settings = dict(sampling=Sampling(max_new_tokens=4), end_ids=(3,), pad_id=0)
    engine = TransformersEngine(policy.model, **settings)
    config = NashMDConfig(batch_size=4, group_size=2, mixture=mixture, lr=1e-2)
    module = made(NashMDModule, config, policy=policy, engine=engine, total=2)
    weights = dict(zip(map(id, module.opponent.policies), module.opponent.weights, strict=True))
    expected = {id(policy): 1 - mixture, id(module.reference.model): mixture}
    assert weights == {who: weight for who, weight in expected.items() if weight}
    own, _ = rivalled(policy, 2)
    log = fit(module, [prompts_of(own, 1)] * 2)
    assert all(0 < row["train/win_rate"] < 1 for row in log)
    assert module.opponent.vocabulary == VOCAB


def test_settings_out_of_range_are_named() -> None:
    for name in ("minibatches", "rollout_epochs"):
        with pytest.raises(ConfigError, match=rf"algo\.{name} must lie in \[1, 1\], got 2"):
            NashMDConfig(**{name: 2})
    with pytest.raises(ConfigError, match=r"algo\.mixture must lie in \[0, 1\], got 1.5"):
        NashMDConfig(mixture=1.5)
