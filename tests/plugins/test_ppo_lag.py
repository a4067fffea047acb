"""PPO-Lagrangian against plain loops: two streams, the price of KL after the division, the multiplier by hand."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from alignlab.plugins.ppo_lag.config import LagrangianConfig
from alignlab.plugins.ppo_lag.loss import combined, imitation, next_log_multiplier, pushed, targets
from alignlab.plugins.ppo_lag.module import LagrangianModule
from doubles import Checksum, Replay, prompts, rollouts
from small import F64, demonstrations, fit, gpt2, gradients, parts, scorer
from torch import Tensor, nn

from alignlab.config import preset_config
from alignlab.data.batch import PromptBatch
from alignlab.errors import ConfigError
from alignlab.method import Data, Needs
from alignlab.models.policy import Policy
from alignlab.rollout.batch import Rollouts

LENGTHS = [4, 2, 5]
MASK = torch.tensor([[int(1 <= t <= n) for t in range(7)] for n in LENGTHS])


def stream(seed: int) -> tuple[Tensor, Tensor]:
    """Scores and values of one stream."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(3, generator=draw, dtype=F64), torch.randn(3, 7, generator=draw, dtype=F64)


def logps() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(9)
    return torch.randn(2, 3, 7, generator=draw, dtype=F64).unbind()


def by_loop(scores: list[float], values: Tensor, *, beta: float, limit: float = 0.0) -> tuple[Tensor, Tensor]:
    """Advantages and returns, token by token."""
    given, reference = logps()
    found = torch.zeros(2, 3, 7, dtype=F64)
    for b, n in enumerate(LENGTHS):
        running = 0.0
        for t in range(n, 0, -1):
            reward = -beta * (given[b, t] - reference[b, t]).item() + (scores[b] if t == n else 0.0)
            reward = max(-limit, min(limit, reward)) if limit else reward
            value, following = values[b, t].item(), values[b, t + 1].item() if t < n else 0.0
            running = reward + 0.99 * following - value + 0.99 * 0.9 * running
            found[:, b, t] = torch.tensor([running, running + value], dtype=F64)
    return found[0], found[1]


@pytest.mark.parametrize("limit", [0.0, 0.3])
@pytest.mark.parametrize("beta", [0.2, -0.2])
def test_a_stream_is_that_of_a_loop(beta: float, limit: float) -> None:
    """Costs are charged the KL price that rewards are paid: beta with the other sign."""
    scores, values = stream(0)
    found = targets(scores, *logps(), values, MASK, beta=beta, limit=limit, discount=0.99, gae_lambda=0.9)
    for one, other in zip(found, by_loop(scores.tolist(), values, beta=beta, limit=limit), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-14)


@pytest.mark.parametrize("multiplier", [0.1, 1.0, 5.0])
def test_the_division_leaves_exactly_beta(multiplier: float) -> None:
    """Both streams with the whole price are one stream of (r - lambda c) / (1 + lambda) with the price beta."""
    (r, v_r), (c, v_c), settings = stream(0), stream(1), dict(limit=0.0, discount=0.99, gae_lambda=0.9)
    parts_of = [targets(s, *logps(), v, MASK, beta=b, **settings) for s, v, b in ((r, v_r, 0.2), (c, v_c, -0.2))]
    found = combined(parts_of[0].advantages, parts_of[1].advantages, torch.tensor(multiplier, dtype=F64).log())

    def mixed(one: Tensor, other: Tensor) -> Tensor:
        return (one - multiplier * other) / (1 + multiplier)

    expected, _ = by_loop(mixed(r, c).tolist(), mixed(v_r, v_c), beta=0.2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    penalised, _ = by_loop((r - multiplier * c).tolist(), v_r - multiplier * v_c, beta=0.2 * (1 + multiplier))
    torch.testing.assert_close(found * (1 + multiplier), penalised, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("log_multiplier", "expected"), [(-1e4, [3.0, -1e4]), (1e4, [2.0, 1e4]), (0.0, [2.5, 0.0])])
def test_any_multiplier_is_finite(log_multiplier: float, expected: list[float]) -> None:
    reward, cost = torch.tensor([3.0, -1e4]), torch.tensor([-2.0, -1e4])
    assert combined(reward, cost, torch.tensor(log_multiplier, dtype=F64)).tolist() == pytest.approx(expected)


def test_the_multiplier_climbs_by_hand_and_stops_at_its_maximum() -> None:
    log, by_hand = torch.tensor(0.0, dtype=F64), 0.0
    for cost in (1.5, -0.5, 4.0, 40.0, -1.0):
        log = next_log_multiplier(log, torch.tensor(cost, dtype=F64), threshold=0.5, lr=0.1, most=5.0)
        by_hand = min(by_hand + 0.1 * math.exp(by_hand) * (cost - 0.5), math.log(5.0))
        assert log.item() == pytest.approx(by_hand, abs=1e-15)
    low = torch.tensor(-50.0, dtype=F64)
    assert next_log_multiplier(low, torch.tensor(-9.0), threshold=0.0, lr=1.0, most=5.0).item() == pytest.approx(-50.0)


def test_a_window_forgets_its_oldest_entry() -> None:
    window = torch.zeros(2, dtype=F64)
    seen = []
    for value in (1.0, 3.0, 5.0):
        window = pushed(window, torch.tensor(value))
        seen.append(window.tolist())
    assert seen == [[0.0, 1.0], [1.0, 3.0], [3.0, 5.0]]


class Parity(nn.Module):
    """A cost that anyone can recompute: -1, 0 or 1 from the ids of the completion."""

    def score(self, rollout: Rollouts, prompts: Any) -> Tensor:
        sequences = rollout.sequences
        return ((sequences.ids * sequences.completion).sum(-1) % 3 - 1).double()


def learner(*steps: Rollouts, micro: int = 0, **settings: Any) -> tuple[LagrangianModule, list[PromptBatch]]:
    """One pass and one minibatch over each fixed rollout, unless `settings` say otherwise."""
    settings = dict(rollout_epochs=1, batch_size=steps[0].rows, lr=1e-3, max_grad_norm=0.0) | settings
    policy = Policy(gpt2())
    more = dict(reference=Policy(gpt2(1)), engine=Replay(*steps, policy=policy), auxiliary=lambda *_: demonstrations(4))
    given = parts(policy, micro=micro, total=len(steps), **more)
    given._scorers = {"reward": Checksum(), "cost": Parity()}
    given._new_value = {"reward": scorer(5), "cost": scorer(6), "sft": scorer(7)}.__getitem__
    module = LagrangianModule(LagrangianConfig(**settings), given)
    module._gate_start = lambda experience: None  # the reference differs, so that KL has a price from the start
    module._drift = lambda kl, count, step: {}
    return module, [prompts(step) for step in steps]


def costs_of(rollout: Rollouts) -> list[float]:
    return [float(sum(reply) % 3 - 1) for _, reply in rollout.sequences.split()]


@pytest.mark.parametrize("micro", [0, 1, 4])
def test_first_minibatch_has_the_gradient_of_reinforce_and_values_that_of_their_errors(micro: int) -> None:
    """Each completion weighs the same: means over its tokens, then over completions."""
    rollout = rollouts(Policy(gpt2()), 6)
    module, batches = learner(rollout, micro=micro, multiplier=2.0, multiplier_lr=0.0, missing_end_penalty=0.5)
    fit(module, batches)
    sequences, plain, reference = rollout.sequences, Policy(gpt2()), Policy(gpt2(1))
    values = {"reward": scorer(5), "cost": scorer(6)}
    ended = rollout.ended.tolist()
    rewards = [(sum(y) % 7 - 3) / 3 - 0.5 * (not end) for (_, y), end in zip(sequences.split(), ended, strict=True)]
    given, ref = plain(sequences).logps, reference(sequences).logps
    scores = {"reward": rewards, "cost": costs_of(rollout)}
    old = {name: model.state_values(sequences) for name, model in values.items()}
    losses = {name: torch.zeros((), dtype=F64) for name in ("policy", "reward", "cost")}
    for b, columns in enumerate(sequences.completion):
        places = columns.nonzero().flatten().tolist()
        running = dict.fromkeys(scores, 0.0)
        for t in reversed(places):
            for name, sign in (("reward", -1), ("cost", 1)):
                last = t == places[-1]
                kl = (given[b, t] - ref[b, t]).item()
                value, following = old[name][b, t].item(), 0.0 if last else old[name][b, t + 1].item()
                payment = sign * module.config.beta * kl + (scores[name][b] if last else 0.0)
                running[name] = payment + following - value + 0.95 * running[name]
                error = old[name][b, t] - (running[name] + value)
                losses[name] = losses[name] + error**2 / 2 / len(places) / 6
            advantage = (running["reward"] - 2.0 * running["cost"]) / 3.0
            losses["policy"] = losses["policy"] - advantage * given[b, t] / len(places) / 6
    for name, model, trained in (("policy", plain, module.policy), *((n, values[n], module.values[n]) for n in values)):
        losses[name].backward()
        for key, expected in gradients(model).items():
            torch.testing.assert_close(gradients(trained)[key], expected, rtol=0, atol=1e-6, msg=f"{name}: {key}")


def test_the_multiplier_answers_mean_costs_of_a_window_after_a_delay() -> None:
    steps = [rollouts(Policy(gpt2()), 6, seed) for seed in range(4)]
    settings = dict(threshold=-0.2, multiplier=1.5, multiplier_lr=0.3, multiplier_delay=1, cost_window=2)
    module, batches = learner(*steps, lr=1e-9, **settings)
    log = fit(module, batches)
    means, by_hand = [sum(costs_of(step)) / 6 for step in steps], math.log(1.5)
    for number, row in enumerate(log):
        recent = means[max(0, number - 1) : number + 1]
        moving = sum(recent) / len(recent)
        if number >= 1:
            by_hand = min(by_hand + 0.3 * math.exp(by_hand) * (moving + 0.2), math.log(5.0))
        assert row["train/mean_cost"] == pytest.approx(moving, abs=1e-12)
        assert row["train/cost"] == pytest.approx(means[number], abs=1e-12)
        assert row["train/multiplier"] == pytest.approx(math.exp(by_hand), abs=1e-12)


def test_multiplier_and_window_survive_a_stop_to_the_bit() -> None:
    rollout = rollouts(Policy(gpt2()), 6)
    costs = torch.randn(5, 6, generator=torch.Generator().manual_seed(0), dtype=F64)

    def moved(module: LagrangianModule, steps: range) -> list[float]:
        return [module._move_multiplier(costs[step], step) for step in steps]

    (whole, _), (before, _), (after, _) = (learner(rollout, cost_window=3) for _ in range(3))
    means = moved(whole, range(5))
    first = moved(before, range(2))
    state = {name: value.clone() for name, value in before.state_dict().items()}
    assert {name.split(".")[0] for name in state} == {"policy", "values", "distrusts", "log_multiplier", "recent_costs"}
    after.load_state_dict(state)
    assert first + moved(after, range(2, 5)) == means
    assert torch.equal(after.log_multiplier, whole.log_multiplier)
    assert torch.equal(after.recent_costs, whole.recent_costs)
    assert whole.log_multiplier.dtype == whole.recent_costs.dtype == F64


@pytest.mark.parametrize("micro", [0, 2])
def test_demonstrations_are_imitated_beside(micro: int) -> None:
    rollout = rollouts(Policy(gpt2()), 4)
    found = []
    for weight in (0.0, 2.0):
        module, batches = learner(rollout, micro=micro, ptx_weight=weight)
        log = fit(module, batches)[0]
        found.append(gradients(module.policy))
    plain, rows = Policy(gpt2()), demonstrations(4).sequences
    likelihood = -(plain(rows).logps * rows.completion).sum(-1) / rows.completion.sum(-1)
    assert log["train/ptx_loss"] == pytest.approx(likelihood.mean().item(), abs=1e-12)
    assert imitation(plain(rows).logps, rows.completion).tolist() == pytest.approx(likelihood.tolist())
    (2.0 * likelihood.mean()).backward()
    for name, extra in gradients(plain).items():
        torch.testing.assert_close(found[1][name] - found[0][name], extra, rtol=0, atol=1e-10, msg=name)


def test_demonstrations_are_asked_for_only_where_they_are_imitated() -> None:
    declared = Needs(data=Data.PROMPTS)
    assert LagrangianConfig().needs(declared).auxiliary is None
    assert LagrangianConfig(ptx_weight=1.0).needs(declared).auxiliary is Data.DEMONSTRATIONS


def test_whitened_advantages_have_mean_zero_over_the_rollout() -> None:
    module, batches = learner(rollouts(Policy(gpt2()), 6), whiten_advantages=True)
    kept: dict[str, Tensor] = {}
    passes = module.passes
    module.passes = lambda sequences, columns, *rest: kept.update(columns) or passes(sequences, columns, *rest)
    fit(module, batches)
    mask = module.parts.engine.steps[0].sequences.completion
    chosen = kept["advantages"][mask]
    assert chosen.mean().item() == pytest.approx(0, abs=1e-6)
    assert chosen.std(unbiased=False).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("start", "asked"), [("reward", ["reward", "cost"]), ("sft", ["sft", "sft"])])
def test_each_value_model_starts_from_what_it_predicts(start: str, asked: list[str]) -> None:
    module, _ = learner(rollouts(Policy(gpt2()), 4))
    seen: list[str] = []
    module.parts._new_value = lambda name: seen.append(name) or scorer(5)
    LagrangianModule(LagrangianConfig(value_init=start), module.parts)
    assert seen == asked


def test_presets_say_what_they_are_called_after() -> None:
    paper, fixed = (preset_config(name) for name in ("safe_rlhf", "ppo_fixed_penalty"))
    assert (paper.beta, paper.ptx_weight, paper.multiplier_max, paper.threshold) == (0.01, 16.0, 5.0, 0.0)
    assert fixed.multiplier_lr == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(multiplier=0.0), "algo.multiplier must lie in (0, inf), got 0.0"),
        (dict(multiplier=9.0), "algo.multiplier=9 starts above algo.multiplier_max=5\n  remedy: raise the second"),
        (dict(multiplier_lr=-0.1), "algo.multiplier_lr must lie in [0, inf), got -0.1"),
        (dict(cost_window=0), "algo.cost_window must lie in [1, inf), got 0"),
        (dict(multiplier_delay=-1), "algo.multiplier_delay must lie in [0, inf), got -1"),
        (dict(score_limit=-1.0), "algo.score_limit must lie in [0, inf), got -1.0"),
        (dict(ptx_weight=-1.0), "algo.ptx_weight must lie in [0, inf), got -1.0"),
        (dict(value_init="cost"), "algo.value_init must be reward or sft, got 'cost'"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        LagrangianConfig(**setting)
