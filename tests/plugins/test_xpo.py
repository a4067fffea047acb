"""XPO against plain loops over pairs of the policy's sample and the reference's."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from alignlab.plugins.dpo.config import DPOConfig
from alignlab.plugins.xpo.config import XPOConfig
from alignlab.plugins.xpo.loss import optimism, scheduled
from alignlab.plugins.xpo.module import XPOModule
from doubles import Replay
from grouped import made, prompts_of, rivalled, scores, summed
from small import F64, fit, gpt2, gradients

from alignlab.errors import ConfigError
from alignlab.models.policy import Policy
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts

BETA, ALPHA, PROMPTS = 0.3, 0.02, 5


class Seen(Replay):
    """Remembers the noise it was given."""

    noise: tuple[Noise, ...] = ()

    def sample(self, prompts: Any, noise: Noise) -> Rollouts:
        self.noise += (noise,)
        return super().sample(prompts, noise)


def learner(own: Rollouts, other: Rollouts, total: int = 1, micro: int = 0, **settings: Any) -> XPOModule:
    base = dict(batch_size=own.rows, lr=1e-2, warmup=0.0, max_grad_norm=0.0, alpha=ALPHA)
    asked: list[Any] = []
    rival = Seen(other)
    module = made(
        XPOModule,
        XPOConfig(**(base | settings)),
        policy=Policy(gpt2()),
        engine=Seen(own),
        new_engine=lambda model, temperature: asked.append((model, temperature)) or rival,
        objective=("dpo", DPOConfig(beta=BETA)),
        total=total,
        micro=micro,
    )
    assert asked == [(module.reference.model, 1.0)]
    return module


def test_optimism_by_hand_in_value_and_gradient() -> None:
    logps = torch.tensor([-3.0, -5.0, -7.0, -11.0], dtype=F64, requires_grad=True)
    of_reference = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=F64)
    found = optimism(logps, of_reference, alpha=0.1)
    assert found.tolist() == pytest.approx([-0.7, -0.5])
    (gradient,) = torch.autograd.grad(found.sum(), logps)
    assert gradient.tolist() == pytest.approx([0, 0.1, 0.1, 0])


def test_alpha_is_constant_or_falls_to_nothing() -> None:
    assert [scheduled(0.4, "linear", step, 5) for step in range(5)] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0])
    assert scheduled(0.4, "linear", 0, 1) == 0.4
    assert {scheduled(0.4, "constant", step, 5) for step in range(5)} == {0.4}


@pytest.mark.parametrize("micro", [0, 2, 3])
def test_the_first_update_has_the_gradient_of_dpo_and_optimism(micro: int) -> None:
    own, other = rivalled(Policy(gpt2()), PROMPTS, same=[3])
    module = learner(own, other, micro=micro)
    log = fit(module, [prompts_of(own, 1)])[0]
    plain = Policy(gpt2())
    mine, theirs = summed(plain, own), summed(plain, other)
    loss, value, wins = torch.zeros((), dtype=F64), 0.0, 0.0
    for number, (a, b) in enumerate(zip(scores(own), scores(other), strict=True)):
        loss, value = loss + ALPHA * theirs[number], value + ALPHA * theirs[number].item()
        wins += 0.5 if a == b else float(a > b)
        if number != 3 and a != b:
            sign = 1 if a > b else -1
            loss, value = loss - BETA / 2 * sign * (mine[number] - theirs[number]), value + math.log(2)
    (loss / PROMPTS).backward()
    expected = gradients(plain)
    assert max(float(g.abs().max()) for g in expected.values()) > 1e-3
    for name, gradient in gradients(module.policy).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-12, msg=name)
    assert log["train/loss"] == pytest.approx(value / PROMPTS, abs=1e-10)
    assert log["train/win_rate"] == pytest.approx(wins / PROMPTS)
    assert log["train/alpha"] == ALPHA


def test_later_iterations_compare_with_the_reference_and_optimism_fades() -> None:
    own, other = rivalled(Policy(gpt2()), PROMPTS, seed=4)
    module = learner(own, other, total=2)
    module.distrusts.fill_(True)  # the same samples twice have no engine's log-probabilities that follow the policy
    before: list[torch.Tensor] = []
    original = module.learn

    def spy(experience: Any, batch_idx: int) -> dict[str, float]:
        before.append(torch.stack([summed(module.policy, each).detach() for each in (own, other)]))
        return original(experience, batch_idx)

    module.learn = spy
    log = fit(module, [prompts_of(own, 1)] * 2)
    drift, expected = before[1] - before[0], 0.0
    for number, (a, b) in enumerate(zip(scores(own), scores(other), strict=True)):
        sign = 1 if a > b else -1
        if a != b:
            expected += math.log1p(math.exp(-BETA * sign * float(drift[0, number] - drift[1, number])))
    assert log[1]["train/loss"] == pytest.approx(expected / PROMPTS, abs=1e-9)
    assert [row["train/alpha"] for row in log] == [ALPHA, 0]


def test_without_optimism_it_is_online_dpo_against_the_reference() -> None:
    own, other = rivalled(Policy(gpt2()), PROMPTS)
    module = learner(own, other, alpha=0.0)
    log = fit(module, [prompts_of(own, 1)])[0]
    assert log["train/loss"] == pytest.approx(math.log(2) * (1 - log["train/ties"]), abs=1e-12)


def test_the_two_sides_draw_different_random_numbers() -> None:
    own, other = rivalled(Policy(gpt2()), PROMPTS)
    module = learner(own, other)
    fit(module, [prompts_of(own, 1)])
    (mine,), (theirs,) = module.parts.engine.noise, module.rival.noise
    assert mine.seed != theirs.seed
    assert mine.rows.tolist() == theirs.rows.tolist() == list(range(PROMPTS))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(alpha_schedule="cosine"), "algo.alpha_schedule must be constant or linear, got 'cosine'"),
        (dict(labels="some"), "algo.labels must be hard, sampled or soft, got 'some'"),
        (dict(alpha=-1.0), "algo.alpha must lie in [0, inf), got -1.0"),
        (dict(group_size=2), "algo.group_size must lie in [1, 1], got 2"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        XPOConfig(**setting)
