"""Online preference learning against plain loops over the rollout."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from alignlab.plugins.dpo.config import DPOConfig
from alignlab.plugins.ipo.config import IPOConfig
from alignlab.plugins.online.config import OwnPairsConfig
from alignlab.plugins.online.loss import best_and_worst
from alignlab.plugins.online.module import OnlineModule
from grouped import grouped, made, prompts_of, scores, summed
from small import F64, fit, gpt2, gradients

from alignlab.config import named_objective
from alignlab.errors import ConfigError
from alignlab.models.policy import Policy
from alignlab.rollout.batch import Rollouts

BETA, SIZE = 0.3, 3


def learner(*steps: Rollouts, objective: Any = None, **settings: Any) -> OnlineModule:
    micro = settings.pop("micro", 0)
    base = dict(batch_size=steps[0].rows, group_size=SIZE, lr=1e-2, warmup=0.0, max_grad_norm=0.0, schedule="constant")
    given = objective or ("dpo", DPOConfig(beta=BETA))
    return made(OnlineModule, OwnPairsConfig(**(base | settings)), *steps, objective=given, micro=micro)


def pairs_of(rollout: Rollouts) -> list[tuple[int, int, float]]:
    """(chosen row, rejected row, difference of rewards) of each prompt, by a loop."""
    rewards, found = scores(rollout), []
    for start in range(0, rollout.rows, SIZE):
        rows = range(start, start + SIZE)
        best, worst = max(rows, key=lambda i: rewards[i]), min(reversed(rows), key=lambda i: rewards[i])
        found.append((best, worst, rewards[best] - rewards[worst]))
    return found


def test_best_and_worst_by_hand() -> None:
    rewards = torch.tensor([[0.0, 2.0, 1.0], [5.0, 5.0, 5.0], [-1.0, 0.0, -1.0]])
    assert best_and_worst(rewards).tolist() == [1, 0, 3, 5, 7, 8]


@pytest.mark.parametrize("micro", [0, 2, 5])
@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_the_first_update_has_the_gradient_of_dpo_on_best_and_worst(labels: str, micro: int) -> None:
    """At policy = reference it is -beta (p - 1/2) (grad log pi(y_w) - grad log pi(y_l)), ties leave nothing."""
    rollout = grouped(Policy(gpt2()), 5, SIZE, same=[7, 8])  # rows 6 to 8, the third prompt, are all the same
    module = learner(rollout, labels=labels, micro=micro)
    log = fit(module, [prompts_of(rollout, SIZE)])[0]
    plain = Policy(gpt2())
    logps, loss, value = summed(plain, rollout), torch.zeros((), dtype=F64), 0.0
    for number, (w, v, gap) in enumerate(pairs_of(rollout)):
        if number == 2:
            continue
        assert gap > 0
        p = 1 / (1 + math.exp(-gap)) if labels == "soft" else 1.0
        loss, value = loss - BETA * (p - 0.5) * (logps[w] - logps[v]) / 5, value + math.log(2) / 5
    loss.backward()
    expected = gradients(plain)
    assert max(float(g.abs().max()) for g in expected.values()) > 1e-3
    for name, gradient in gradients(module.policy).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-12, msg=name)
    assert log["train/loss"] == pytest.approx(value, abs=1e-12)
    assert log["train/ties"] == pytest.approx(1 / 5)
    assert (log["train/margin"], log["train/accuracy"]) == (pytest.approx(0, abs=1e-12), 0.5)
    assert log["train/score_gap"] == pytest.approx(sum(gap for *_, gap in pairs_of(rollout)) / 5)


@pytest.mark.parametrize("refresh", [False, True])
def test_the_reference_is_the_start_of_the_run_or_of_the_iteration(refresh: bool) -> None:
    rollout = grouped(Policy(gpt2()), 4, SIZE, seed=3)
    module = learner(rollout, reference_refresh=refresh)
    module.parts.total = 2
    losses: list[float] = []
    before: list[torch.Tensor] = []
    original = module.learn

    def spy(experience: Any, batch_idx: int) -> dict[str, float]:
        before.append(summed(module.policy, rollout).detach())
        return original(experience, batch_idx)

    module.learn = spy
    batch = prompts_of(rollout, SIZE)
    losses = [row["train/loss"] for row in fit(module, [batch, batch])]
    start = summed(Policy(gpt2()), rollout).detach()
    drift = torch.zeros_like(start) if refresh else before[1] - start
    expected = [math.log1p(math.exp(-BETA * float(drift[w] - drift[v]))) for w, v, _ in pairs_of(rollout)]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-9)
    assert losses[1] == pytest.approx(sum(expected) / 4, abs=1e-9)
    assert (abs(losses[1] - math.log(2)) > 1e-3) is not refresh


def test_modifiers_of_pair_objectives_apply() -> None:
    rollout = grouped(Policy(gpt2()), 4, SIZE, seed=3)
    config = DPOConfig(beta=BETA, sft_weight=0.5, on_policy_weight=True)
    log = fit(learner(rollout, objective=("dpo", config)), [prompts_of(rollout, SIZE)])[0]
    plain, expected, typical, mean = Policy(gpt2()).model, 0.0, [], []
    for prompt, reply in rollout.sequences.split():
        known = plain(torch.tensor([prompt + reply])).logits[0].log_softmax(-1)[len(prompt) - 1 : -1]
        own = known.gather(-1, torch.tensor(reply)[:, None]).squeeze(-1)
        mean.append(own.mean().item())
        typical.append((own - (2 * known).logsumexp(-1)).mean().item())
    for w, v, _ in pairs_of(rollout):
        expected += min(math.exp(typical[w] + typical[v]), 1) * math.log(2) - 0.5 * mean[w]
    assert log["train/loss"] == pytest.approx(expected / 4, abs=1e-9)


def test_any_pair_objective_and_several_updates_a_rollout() -> None:
    rollout = grouped(Policy(gpt2()), 4, SIZE, seed=3)
    module = learner(rollout, objective=("ipo", IPOConfig(beta=0.5)), lr=1e-3, rollout_epochs=2, minibatches=2)
    log = fit(module, [prompts_of(rollout, SIZE)])[0]
    assert log["train/accuracy"] > 0.5
    assert log["train/loss"] < 1  # 1 / (2 beta) squared at the start


def test_sampled_labels_repeat_and_do_not_depend_on_the_samples() -> None:
    rollout = grouped(Policy(gpt2()), 6, SIZE, seed=3)
    logs = [fit(learner(rollout, labels="sampled"), [prompts_of(rollout, SIZE)])[0] for _ in range(2)]
    assert logs[0] == logs[1]


def test_checkpoints_hold_the_policy_alone() -> None:
    rollout = grouped(Policy(gpt2()), 4, SIZE)
    for refresh in (False, True):
        module = learner(rollout, reference_refresh=refresh)
        assert {name.split(".")[0] for name in module.state_dict()} == {"policy", "distrusts"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(labels="median"), "algo.labels must be hard, sampled or soft, got 'median'"),
        (dict(group_size=1), "algo.group_size must lie in [2, inf), got 1"),
        (dict(batch_size=9, group_size=2), "algo.batch_size=9 does not divide into groups of algo.group_size=2"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        OwnPairsConfig(**setting)


def test_an_objective_keeps_the_values_of_its_preset_unless_told_otherwise() -> None:
    method, config = named_objective(OwnPairsConfig(objective="ipo"))
    assert (method.name, config.beta) == ("ipo", 0.1)
    _, config = named_objective(OwnPairsConfig(objective="dpo", beta=0.7, settings={"sft_weight": 2.0}))
    assert (config.beta, config.sft_weight) == (0.7, 2.0)
    with pytest.raises(ConfigError, match=r"algo\.objective=aot is not the loss of a single pair"):
        named_objective(OwnPairsConfig(objective="aot"))
