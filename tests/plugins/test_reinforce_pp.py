"""REINFORCE++ against plain loops: whitening over the batch, KL in the reward and as a loss."""

from __future__ import annotations

import math
import re
import statistics
from typing import Any

import pytest
import torch
from alignlab.plugins.reinforce_pp.config import CHOICES, ReinforcePPConfig
from alignlab.plugins.reinforce_pp.loss import BASELINES, advantages
from alignlab.plugins.reinforce_pp.module import ReinforcePPModule
from doubles import rollouts
from online import Given, online, places, watched, weighted
from small import F64, fit, gpt2, gradients, weights

from alignlab.config import preset_config
from alignlab.errors import ConfigError
from alignlab.models.policy import Policy
from alignlab.modules.rollouts import Chunk

SCORES = (1.0, -0.5, 0.25, 2.0, 2.5, -1.0)
TWIN = Policy(gpt2())
BASE = dict(batch_size=6, lr=1e-3, max_grad_norm=0.0, missing_end_penalty=0.0)
WITH_BASELINE = dict(group_size=2, baseline="mean", kl_place="loss", kl_estimator="k2")


def learner(policy: Policy, *, micro: int = 0, total: int = 1, **settings: Any) -> Any:
    config = ReinforcePPConfig(**(BASE | settings))
    return online(ReinforcePPModule, config, policy, rollouts(TWIN, 6), micro=micro, total=total, reward=Given(*SCORES))


def whitened_by_loop(columns: list[list[int]], baseline: str, price: Any) -> list[tuple[int, int, float]]:
    """(row, token, advantage); `price(row, token)` is what is charged for the tokens from there on."""
    means = [statistics.fmean(SCORES[row - row % 2 :][:2]) if baseline == "mean" else 0.0 for row in range(6)]
    raw = [(row, t, SCORES[row] - means[row] - price(row, t)) for row in range(6) for t in columns[row]]
    values = [value for *_, value in raw]
    mean, deviation = statistics.fmean(values), statistics.pstdev(values)
    return [(row, t, (value - mean) / deviation) for row, t, value in raw]


@pytest.mark.parametrize("baseline", CHOICES["baseline"])
@pytest.mark.parametrize("processes", [1, 2])
def test_advantages_are_those_of_a_loop(baseline: str, processes: int) -> None:
    """Statistics over twice the same rows are the same: what other processes hold counts."""
    sequences, beta = rollouts(TWIN, 6).sequences, 0.3
    torch.manual_seed(0)
    kl = torch.randn(sequences.ids.shape, dtype=F64)
    found = advantages(
        torch.tensor(SCORES, dtype=F64),
        kl,
        sequences.completion,
        group_size=2,
        baseline=baseline,
        beta=beta,
        total=lambda part: processes * part,
    )
    columns = places(sequences)

    def price(row: int, t: int) -> float:
        return beta * sum(kl[row, s].item() for s in columns[row] if s >= t)

    loop = whitened_by_loop(columns, baseline, price)
    expected = torch.zeros_like(found)
    for row, t, value in loop:
        expected[row, t] = value
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("settings", [dict(), WITH_BASELINE], ids=["plain", "baseline"])
@pytest.mark.parametrize("micro", [0, 2])
def test_first_gradient_is_that_of_reinforce_with_whitened_rewards(settings: dict[str, Any], micro: int) -> None:
    module, batch = learner(Policy(gpt2()), micro=micro, **settings)
    seen = watched(module)
    log = fit(module, [batch])[0]
    columns = places(seen[0].sequences)
    loop = whitened_by_loop(columns, settings.get("baseline", "none"), lambda row, t: 0.0)
    wanted = weighted(seen[0].sequences, [(row, t, value / len(loop)) for row, t, value in loop])
    found = gradients(module.policy)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-7, msg=name)
    assert log["train/policy_loss"] == pytest.approx(0, abs=1e-12)
    assert ("train/kl_loss" in log) is (settings != {})


@pytest.mark.parametrize("estimator", ["k2", "k3"])
def test_loss_of_a_policy_that_has_moved_is_that_of_a_loop(estimator: str) -> None:
    module, _ = learner(Policy(gpt2(1)), **(WITH_BASELINE | dict(kl_estimator=estimator, beta=0.4, clip_high=0.3)))
    sequences = rollouts(TWIN, 6).sequences
    with torch.no_grad():
        new, old, fixed = (model(sequences).logps for model in (module.policy, TWIN, Policy(gpt2(2))))
    gains = torch.tensor(SCORES, dtype=F64)[:, None] * sequences.completion
    known = dict(logps=old, advantages=gains, reference=fixed)
    chunk = Chunk(sequences, known, sequences.completion.sum(), torch.tensor(6), False, torch.arange(6))
    expected = 0.0
    for row, columns in enumerate(places(sequences)):
        for t in columns:
            q, u = math.exp((new[row, t] - old[row, t]).item()), (new[row, t] - fixed[row, t]).item()
            kl = u * u / 2 if estimator == "k2" else math.exp(-u) - 1 + u
            expected += 0.4 * kl - min(q * SCORES[row], min(max(q, 0.8), 1.3) * SCORES[row])
    expected /= int(sequences.completion.sum())
    assert module._loss(chunk)[0].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("settings", [dict(), WITH_BASELINE], ids=["plain", "baseline"])
def test_cutting_a_minibatch_changes_nothing(settings: dict[str, Any]) -> None:
    after = []
    for micro in (0, 1, 4):
        module, batch = learner(Policy(gpt2()), micro=micro, total=2, minibatches=3, lr=3e-3, warmup=0.0, **settings)
        fit(module, [batch, batch])
        after.append(weights(module.policy))
    for other in after[1:]:
        for name, value in after[0].items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-9, msg=name)


def test_names_and_presets() -> None:
    assert tuple(BASELINES) == CHOICES["baseline"]
    found = preset_config("reinforce_pp_baseline")
    assert (found.baseline, found.kl_place, found.kl_estimator, found.group_size) == ("mean", "loss", "k2", 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(baseline="loo"), "algo.baseline must be none or mean, got 'loo'\n  remedy: pass algo.baseline=none"),
        (dict(kl_estimator="k4"), "algo.kl_estimator must be k1, k2 or k3, got 'k4'"),
        (dict(baseline="mean"), "algo.baseline=mean of a group of algo.group_size=1 leaves nothing"),
        (dict(kl_place="loss"), "algo.kl_estimator=k1 in the loss has no expected gradient"),
        (dict(clip_high=0.0), "algo.clip_high must lie in (0, inf), got 0.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        ReinforcePPConfig(**settings)
