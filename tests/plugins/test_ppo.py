"""PPO against plain loops: targets, controller, and the policy gradient its first minibatch must be."""

from __future__ import annotations

import math
import re
import statistics
from typing import Any

import pytest
import torch
from alignlab.plugins.ppo import module as ppo_module
from alignlab.plugins.ppo.config import PPOConfig
from alignlab.plugins.ppo.loss import adapted_beta, targets
from alignlab.plugins.ppo.module import PPOModule
from doubles import learner, rollouts
from small import fit, gpt2, gradients, scorer

from alignlab.errors import ConfigError
from alignlab.models.policy import Policy
from alignlab.modules import rollouts as rollouts_module
from alignlab.modules.rollouts import Experience

F64 = torch.float64
LENGTHS = [4, 2, 5]
MASK = torch.tensor([[int(1 <= t <= n) for t in range(7)] for n in LENGTHS])


def test_targets_are_those_of_a_loop() -> None:
    torch.manual_seed(0)
    logps, reference, values = torch.randn(3, 3, 7, dtype=F64)
    scores = [1.0, -0.5, 0.25]
    beta, discount, lam = 0.2, 0.99, 0.9
    settings = dict(beta=beta, discount=discount, gae_lambda=lam)
    found = targets(torch.tensor(scores, dtype=F64), logps, reference, values, MASK, **settings)
    advantages, returns = torch.zeros(2, 3, 7, dtype=F64)
    for b, n in enumerate(LENGTHS):
        running = 0.0
        for t in range(n, 0, -1):
            reward = -beta * (logps[b, t] - reference[b, t]).item() + (scores[b] if t == n else 0.0)
            following = values[b, t + 1].item() if t < n else 0.0
            running = reward + discount * following - values[b, t].item() + discount * lam * running
            advantages[b, t], returns[b, t] = running, running + values[b, t].item()
    torch.testing.assert_close(found.advantages, advantages, rtol=0, atol=1e-14)
    torch.testing.assert_close(found.returns, returns, rtol=0, atol=1e-14)


def test_with_gae_lambda_one_returns_are_rewards_to_go_whatever_the_values() -> None:
    torch.manual_seed(0)
    logps, reference, values, others = torch.randn(4, 3, 7, dtype=F64)
    scores = torch.tensor([1.0, -0.5, 0.25], dtype=F64)
    settings = dict(beta=0.1, discount=1.0, gae_lambda=1.0)
    found = [targets(scores, logps, reference, v, MASK, **settings).returns for v in (values, others)]
    torch.testing.assert_close(*found, rtol=0, atol=1e-13)
    whole = scores - 0.1 * ((logps - reference) * MASK).sum(-1)
    torch.testing.assert_close(found[0][:, 1], whole, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("kl", "factor"),
    [(6.0, 1.0), (6.6, 1 + 0.1 * 0.0064), (60.0, 1 + 0.2 * 0.0064), (0.0, 1 - 0.2 * 0.0064), (-3.0, 1 - 0.2 * 0.0064)],
)
def test_adaptive_beta_closed_form(kl: float, factor: float) -> None:
    assert adapted_beta(0.5, kl, 6.0, 64, 10_000) == pytest.approx(0.5 * factor, abs=1e-15)


def test_adaptive_beta_stays_positive_and_rises_with_drift() -> None:
    betas = [adapted_beta(0.1, kl, 6.0, 64, 64) for kl in (0.0, 5.0, 6.0, 7.0, 100.0)]
    assert betas == sorted(betas)
    assert betas[0] == pytest.approx(0.08)


class Spy(PPOModule):
    """Keeps the scored rollout and the values before the first update."""

    experience: Experience
    old_values: torch.Tensor

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        with torch.no_grad():
            self.experience, self.old_values = experience, self.value.state_values(experience.sequences)
        return super().learn(experience, batch_idx)


def spied(policy: Policy, rows: int = 6, **settings: Any) -> tuple[Spy, dict[str, float]]:
    module, batch = learner(policy, rollouts(policy, rows), max_grad_norm=0.0, **settings)
    module.__class__ = Spy
    return module, fit(module, [batch])[0]


def advantages_by_loop(module: Spy) -> list[tuple[int, int, float, float]]:
    """(row, token, advantage, return) of every completion token."""
    config, (sequences, logps, reference, *_) = module.config, module.experience
    scores = module.experience.rewards
    found = []
    for b, columns in enumerate(sequences.completion):
        places = columns.nonzero().flatten().tolist()
        running = 0.0
        for t in reversed(places):
            last = t == places[-1]
            reward = -config.beta * (logps[b, t] - reference[b, t]).item() + (scores[b].item() if last else 0.0)
            value, following = module.old_values[b, t].item(), 0.0 if last else module.old_values[b, t + 1].item()
            running = reward + config.discount * following - value + config.discount * config.gae_lambda * running
            found.append((b, t, running, running + value))
    return found


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("micro", [0, 2])
def test_first_minibatch_has_the_gradient_of_reinforce_with_a_baseline(whiten: bool, micro: int) -> None:
    """-(1 / tokens) sum_t A_t grad log pi(y_t), with A the advantage over the value: the ratio is still 1."""
    policy, plain = Policy(gpt2()), Policy(gpt2())
    module, _ = spied(policy, micro=micro, whiten_advantages=whiten)
    rows = advantages_by_loop(module)
    raw = [advantage for _, _, advantage, _ in rows]
    mean, deviation = (statistics.fmean(raw), statistics.pstdev(raw)) if whiten else (0.0, 1.0)
    logps = plain(module.experience.sequences).logps
    loss = -sum((a - mean) / deviation * logps[b, t] for b, t, a, _ in rows) / len(rows)
    loss.backward()
    expected = gradients(plain)
    assert max(float(g.abs().max()) for g in expected.values()) > 1e-3
    for name, gradient in gradients(module.policy).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-7 if whiten else 1e-12, msg=name)


def test_first_minibatch_pulls_values_towards_unwhitened_returns() -> None:
    """coefficient x (1 / tokens) sum_t (V_t - R_t) grad V_t: at V = V_old the clip is not in reach."""
    policy = Policy(gpt2())
    module, log = spied(policy, value_coef=0.3)
    rows = advantages_by_loop(module)
    plain = scorer(5)
    values = plain.state_values(module.experience.sequences)
    loss = 0.3 * sum((values[b, t] - r) ** 2 / 2 for b, t, _, r in rows) / len(rows)
    loss.backward()
    expected = gradients(plain)
    for name, gradient in gradients(module.value).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-6, msg=name)
    assert log["train/value_loss"] == pytest.approx(loss.item() / 0.3, abs=1e-6)


def test_scores_of_completions_that_were_cut_pay_the_penalty() -> None:
    module, log = spied(Policy(gpt2()), missing_end_penalty=2.5)
    sequences, scores, ended = module.experience.sequences, module.experience.rewards, module.experience.ended
    raw = [(sum(reply) % 7 - 3) / 3 for _, reply in sequences.split()]
    assert not ended.all()
    for score, expected, end in zip(scores.tolist(), raw, ended.tolist(), strict=True):
        assert score == pytest.approx(expected - (0 if end else 2.5), abs=1e-12)
    assert log["train/score"] == pytest.approx(statistics.fmean(raw), abs=1e-12)
    assert log["train/ended"] == pytest.approx(ended.double().mean().item())
    assert log["train/length"] == pytest.approx(statistics.fmean(len(reply) for _, reply in sequences.split()))


def test_first_iteration_logs_no_drift_no_clipping_and_a_known_explained_variance() -> None:
    policy = Policy(gpt2())
    module, log = spied(policy, rows=6)
    returns = [r for *_, r in advantages_by_loop(module)]
    raw = [a for _, _, a, _ in advantages_by_loop(module)]
    assert log["train/kl"] == log["train/clip_fraction"] == 0
    assert log["train/engine_gap"] == pytest.approx(0, abs=1e-12)
    assert log["train/policy_loss"] == pytest.approx(0, abs=1e-12)  # minus the mean of whitened advantages
    explained = 1 - statistics.pvariance(raw) / statistics.pvariance(returns)
    assert log["train/explained_variance"] == pytest.approx(explained, abs=1e-9)
    assert log["train/beta"] == module.config.beta
    assert log["samples"] == 6


def test_each_pass_meets_every_row_once_in_an_order_of_its_own() -> None:
    module, batch = learner(Policy(gpt2()), rollouts(Policy(gpt2()), 6), rollout_epochs=3, minibatches=2)
    seen: list[list[int]] = []
    original = module._minibatch

    def spy(sequences: Any, columns: Any, rows: torch.Tensor, *rest: Any) -> dict[str, float]:
        seen.append(rows.tolist())
        return original(sequences, columns, rows, *rest)

    module._minibatch = spy
    fit(module, [batch])
    assert [len(rows) for rows in seen] == [3] * 6
    passes = [seen[i] + seen[i + 1] for i in (0, 2, 4)]
    assert all(sorted(rows) == list(range(6)) for rows in passes)
    assert len({tuple(rows) for rows in passes}) > 1


def test_learning_rate_runs_over_updates_not_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, int]] = []
    original = rollouts_module.update

    def spy(*given: Any, step: int, total: int, pace: Any) -> tuple[float, float]:
        steps.append((step, total))
        return original(*given, step=step, total=total)

    monkeypatch.setattr(rollouts_module, "update", spy)
    policy = Policy(gpt2())
    module, batch = learner(policy, rollouts(policy, 6), rollout_epochs=2, minibatches=3, total=2)
    fit(module, [batch, batch])
    assert steps == [(number, 12) for number in range(12)]


def test_policy_and_value_have_clips_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clips: dict[str, set[float]] = {}
    for name in ("clipped_policy_loss", "clipped_value_loss"):
        original = getattr(ppo_module, name)

        def spy(*given: Any, clip: float, name: str = name, original: Any = original, **more: Any) -> torch.Tensor:
            clips.setdefault(name, set()).add(clip)
            return original(*given, clip=clip, **more)

        monkeypatch.setattr(ppo_module, name, spy)
    module, batch = learner(Policy(gpt2()), rollouts(Policy(gpt2()), 6), clip=0.15, value_clip=0.35, rollout_epochs=2)
    fit(module, [batch])
    assert clips == {"clipped_policy_loss": {0.15}, "clipped_value_loss": {0.35}}


@pytest.mark.parametrize("target", [None, 1e-9, 1e9])
def test_beta_adapts_to_the_kl_of_a_completion_when_a_target_is_set(target: float | None) -> None:
    """KL is exactly 0 in the first iteration, and some hundredths of a nat in the second."""
    policy = Policy(gpt2())
    settings = dict(kl_target=target, kl_horizon=60, beta=0.1, lr=3e-3, warmup=0.0, rollout_epochs=2)
    module, batch = learner(policy, rollouts(policy, 6), total=3, **settings)
    log = fit(module, [batch, batch, batch])
    if target is None:
        assert [row["train/beta"] for row in log] == [0.1] * 3
        return
    beta = 0.1
    for row in log:
        assert row["train/beta"] == pytest.approx(beta, abs=1e-12)
        beta *= 1 + min(max(row["train/kl"] / target - 1, -0.2), 0.2) * 6 / 60
    assert module.beta.item() == pytest.approx(beta, abs=1e-12)
    assert "beta" in module.state_dict()


def test_checkpoints_hold_policy_value_and_beta_and_nothing_frozen() -> None:
    policy = Policy(gpt2())
    module, _ = learner(policy, rollouts(policy, 6))
    assert {name.split(".")[0] for name in module.state_dict()} == {"policy", "value", "beta", "distrusts"}
    assert {name.split(".")[0] for name, _ in module.named_parameters()} == {"policy", "value"}


def test_the_value_model_is_asked_for_by_the_configured_start() -> None:
    policy = Policy(gpt2())
    module, _ = learner(policy, rollouts(policy, 6))
    asked: list[str] = []
    module.parts._new_value = lambda start: asked.append(start) or module.value
    PPOModule(PPOConfig(value_init="sft"), module.parts)
    PPOModule(PPOConfig(), module.parts)
    assert asked == ["sft", "reward"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            dict(clip=0.0),
            "algo.clip must lie in (0, inf), got 0.0\n  remedy: Ratios further than this from 1 earn noth",
        ),
        (dict(value_clip=-0.1), "algo.value_clip must lie in [0, inf), got -0.1"),
        (dict(value_coef=-1.0), "algo.value_coef must lie in [0, inf), got -1.0"),
        (dict(value_lr_scale=-1.0), "algo.value_lr_scale must lie in [0, inf), got -1.0"),
        (dict(discount=1.1), "algo.discount must lie in [0, 1], got 1.1"),
        (dict(gae_lambda=-0.1), "algo.gae_lambda must lie in [0, 1], got -0.1"),
        (dict(rollout_epochs=0), "algo.rollout_epochs must lie in [1, inf), got 0"),
        (dict(minibatches=0), "algo.minibatches must lie in [1, inf), got 0"),
        (dict(steps=0), "algo.steps must lie in [1, inf), got 0"),
        (dict(beta=-0.1), "algo.beta must lie in [0, inf), got -0.1"),
        (dict(missing_end_penalty=-1.0), "algo.missing_end_penalty must lie in [0, inf), got -1.0"),
        (dict(kl_horizon=0.0), "algo.kl_horizon must lie in [1, inf), got 0.0"),
        (dict(value_init="zero"), "algo.value_init must be reward or sft, got 'zero'"),
        (dict(kl_target=0.0), "algo.kl_target must be positive, got 0.0\n  remedy: pass algo.kl_target=null for a fix"),
        (
            dict(batch_size=10, minibatches=4),
            "algo.batch_size=10 does not divide into algo.minibatches=4\n  remedy: choose a divisor",
        ),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        PPOConfig(**setting)


def test_a_beta_of_zero_is_allowed_and_prices_nothing() -> None:
    torch.manual_seed(0)
    logps, reference, values = torch.randn(3, 3, 7, dtype=F64)
    scores = torch.ones(3, dtype=F64)
    settings = dict(beta=PPOConfig(beta=0.0).beta, discount=1.0, gae_lambda=1.0)
    found = targets(scores, logps, reference, values, MASK, **settings)
    torch.testing.assert_close(found.returns, MASK.double(), rtol=0, atol=1e-13)
    assert math.isfinite(found.advantages.sum().item())


def test_more_minibatches_than_a_process_has_rows_are_refused() -> None:
    module, batch = learner(Policy(gpt2()), rollouts(Policy(gpt2()), 6), minibatches=3)
    module.config.minibatches = 7
    message = "algo.minibatches=7 updates have only 6 prompts to share\n  remedy: pass a larger"
    with pytest.raises(ConfigError, match=re.escape(message)):
        fit(module, [batch])


def test_a_beta_of_zero_cannot_adapt() -> None:
    with pytest.raises(ConfigError, match=r"algo.kl_target=6.0 cannot move algo.beta=0"):
        PPOConfig(beta=0.0, kl_target=6.0)
