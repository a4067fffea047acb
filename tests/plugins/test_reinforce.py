"""REINFORCE with a baseline against plain loops, and the baseline's memory."""

from __future__ import annotations

import re
import statistics
from typing import Any

import pytest
import torch
from alignlab.plugins.reinforce.config import BASELINES as NAMES
from alignlab.plugins.reinforce.config import ReinforceConfig
from alignlab.plugins.reinforce.loss import BASELINES, Average, policy_gradient_loss, returns
from alignlab.plugins.reinforce.module import ReinforceModule
from doubles import rollouts
from online import Given, online, places, watched, weighted
from small import F64, fit, gpt2, gradients, weights

from alignlab.errors import ConfigError
from alignlab.models.policy import Policy

SCORES = (1.0, -0.5, 0.25, 2.0, 2.5, -1.0)
TWIN = Policy(gpt2())
BASE = dict(batch_size=6, lr=1e-3, max_grad_norm=0.0, missing_end_penalty=0.0)


def learner(policy: Policy, *, micro: int = 0, total: int = 1, **settings: Any) -> Any:
    config = ReinforceConfig(**(BASE | settings))
    return online(ReinforceModule, config, policy, rollouts(TWIN, 6), micro=micro, total=total, reward=Given(*SCORES))


def test_returns_are_those_of_a_loop() -> None:
    sequences, beta = rollouts(TWIN, 6).sequences, 0.3
    torch.manual_seed(0)
    logps, reference = torch.randn(2, *sequences.ids.shape, dtype=F64)
    found = returns(torch.tensor(SCORES, dtype=F64), logps, reference, sequences.completion, beta=beta)
    expected = torch.zeros_like(found)
    for row, columns in enumerate(places(sequences)):
        for t in columns:
            price = beta * sum((logps[row, s] - reference[row, s]).item() for s in columns if s >= t)
            expected[row, t] = SCORES[row] - price
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("baseline", NAMES)
@pytest.mark.parametrize("micro", [0, 2])
def test_first_gradient_is_that_of_scores_less_the_baseline(baseline: str, micro: int) -> None:
    """KL is 0 at the first rollout; a moving average of nothing is 0."""
    module, batch = learner(Policy(gpt2()), micro=micro, baseline=baseline)
    seen = watched(module)
    log = fit(module, [batch])[0]
    taken = statistics.fmean(SCORES) if baseline == "batch_mean" else 0.0
    assert log["train/baseline"] == pytest.approx(taken, abs=1e-14)
    entries = [(row, t, (SCORES[row] - taken) / 6) for row, ts in enumerate(places(seen[0].sequences)) for t in ts]
    found = gradients(module.policy)
    for name, gradient in weighted(seen[0].sequences, entries).items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize("decay", [1.0, 0.5, 0.0])
def test_the_moving_average_is_of_earlier_rollouts_and_of_rewards_less_kl(decay: float) -> None:
    module, batch = learner(Policy(gpt2()), total=3, beta=0.5, baseline_decay=decay, lr=1e-2, warmup=0.0)
    seen = watched(module)
    log = fit(module, [batch, batch, batch])
    total = count = 0.0
    for row, rollout in zip(log, seen, strict=True):
        assert row["train/baseline"] == pytest.approx(total / count if count else 0.0, abs=1e-12)
        kl = (rollout.logps - rollout.reference_logps).sum(-1)
        assert row is log[0] or kl.abs().max() > 1e-3
        total = decay * total + (rollout.rewards - 0.5 * kl).sum().item()
        count = decay * count + 6
    assert module.return_total.item() == pytest.approx(total, abs=1e-12)
    assert module.return_count.item() == pytest.approx(count)


def test_the_baseline_survives_a_checkpoint() -> None:
    module, batch = learner(Policy(gpt2()), total=2)
    fit(module, [batch, batch])
    stored = module.state_dict()
    assert {"return_total", "return_count"} < set(stored)
    assert {name.split(".")[0] for name in stored} == {"policy", "distrusts", "return_total", "return_count"}
    other, _ = learner(Policy(gpt2(3)))
    other.load_state_dict(stored)
    assert (other.return_total, other.return_count) == (module.return_total, module.return_count)
    assert module.return_count.dtype == F64


@pytest.mark.parametrize("baseline", NAMES)
def test_cutting_a_minibatch_changes_nothing(baseline: str) -> None:
    after = []
    for micro in (0, 1, 4):
        module, batch = learner(Policy(gpt2()), micro=micro, total=2, minibatches=2, baseline=baseline, lr=3e-3)
        fit(module, [batch, batch])
        after.append(weights(module.policy))
    for other in after[1:]:
        for name, value in after[0].items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-9, msg=name)


def test_an_average_is_a_weighted_mean() -> None:
    first, second = (Average(torch.tensor(t, dtype=F64), torch.tensor(2.0, dtype=F64)) for t in (6.0, 2.0))
    assert first.plus(second, decay=1.0).mean.item() == 2.0
    assert first.plus(second, decay=0.5).mean.item() == pytest.approx((3 + 2) / (1 + 2))
    assert tuple(BASELINES) == NAMES


def test_policy_gradient_loss_derivative_is_minus_the_advantage() -> None:
    logps = torch.tensor([[-1.0, -2.0]], dtype=F64, requires_grad=True)
    policy_gradient_loss(logps, torch.tensor([[0.5, -3.0]], dtype=F64)).sum().backward()
    assert logps.grad.tolist() == [[-0.5, 3.0]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(baseline="mean"), "algo.baseline must be moving_average, batch_mean or none, got 'mean'\n  remedy: pass"),
        (dict(baseline_decay=1.5), "algo.baseline_decay must lie in [0, 1], got 1.5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        ReinforceConfig(**settings)
