"""What PPO can be told beside its defaults: imitation (PPO-ptx), a dual clip, no price of KL."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from alignlab.plugins.ppo.config import PPOConfig
from alignlab.plugins.ppo.loss import imitation
from alignlab.plugins.ppo.module import PPOModule
from doubles import Checksum, rollouts
from online import online, places
from small import F64, demonstrations, fit, gpt2, gradients, scorer, weights

from alignlab.config import preset_config
from alignlab.errors import ConfigError
from alignlab.method import Data, Needs, Reference
from alignlab.models.policy import Policy
from alignlab.modules.rollouts import Chunk

TWIN = Policy(gpt2())
BASE = dict(batch_size=6, rollout_epochs=1, lr=1e-3, max_grad_norm=0.0)
DECLARED = Needs(data=Data.PROMPTS, reference=Reference.MODEL, scorers=("reward",), rollouts=True)


def learner(policy: Policy, *, micro: int = 0, total: int = 1, rows: int = 6, **settings: Any) -> Any:
    asked: list[tuple[int, int, int]] = []

    def auxiliary(*place: int) -> Any:
        asked.append(place)
        return demonstrations(rows, seed=7 + place[0])

    config = PPOConfig(**(BASE | settings))
    more: dict[str, Any] = dict(reward=Checksum(), value=scorer(5), auxiliary=auxiliary)
    more |= dict(reference=None) if config.kl_place == "none" else {}
    module, batch = online(PPOModule, config, policy, rollouts(TWIN, 6), micro=micro, total=total, **more)
    module.asked = asked
    return module, batch


def nll(policy: Policy, rows: int = 6) -> torch.Tensor:
    """Mean over demonstrations of the mean over their tokens, by a loop."""
    sequences = demonstrations(rows, seed=7).sequences
    logps = policy(sequences).logps
    return -sum(logps[row, columns].mean() for row, columns in enumerate(places(sequences))) / rows


@pytest.mark.parametrize("micro", [0, 1, 4])
def test_the_gradient_is_that_of_ppo_plus_that_of_imitation(micro: int) -> None:
    plain, batch = learner(Policy(gpt2()))
    module, _ = learner(Policy(gpt2()), micro=micro, ptx_weight=0.7)
    fit(plain, [batch])
    log = fit(module, [batch])[0]
    twin = Policy(gpt2())
    (0.7 * nll(twin)).backward()
    extra, found = gradients(twin), gradients(module.policy)
    for name, gradient in gradients(plain.policy).items():
        torch.testing.assert_close(found[name], gradient + extra[name], rtol=0, atol=1e-7, msg=name)
    for name, gradient in gradients(plain.value).items():
        torch.testing.assert_close(gradients(module.value)[name], gradient, rtol=0, atol=1e-7, msg=name)
    assert log["train/ptx_loss"] == pytest.approx(nll(twin).item(), abs=1e-12)
    assert module.asked == [(0, 0, 1)]
    assert plain.asked == []


def test_every_minibatch_brings_its_share_and_every_iteration_others() -> None:
    module, batch = learner(Policy(gpt2()), total=2, ptx_weight=0.5, minibatches=3)
    fit(module, [batch, batch])
    assert module.asked == [(0, 0, 1), (1, 0, 1)]
    assert torch.equal(module.demonstrations.sequences.ids, demonstrations(6, seed=8).sequences.ids)


@pytest.mark.parametrize("rows", [4, 9])
def test_fewer_or_more_demonstrations_than_completions_do_no_harm(rows: int) -> None:
    module, batch = learner(Policy(gpt2()), rows=rows, ptx_weight=0.5)
    assert math.isfinite(fit(module, [batch])[0]["train/ptx_loss"])


def test_imitation_closed_form_and_derivative() -> None:
    logps = torch.tensor([[9.0, -1.0, -3.0], [9.0, -0.5, 9.0]], dtype=F64, requires_grad=True)
    mask = torch.tensor([[0, 1, 1], [0, 1, 0]])
    assert imitation(logps, mask).tolist() == [2.0, 0.5]
    imitation(logps, mask).sum().backward()
    assert logps.grad.tolist() == [[0, -0.5, -0.5], [0, -1, 0]]


def test_needs_follow_the_settings() -> None:
    assert PPOConfig().needs(DECLARED) == DECLARED
    assert PPOConfig(ptx_weight=1.0).needs(DECLARED).auxiliary is Data.DEMONSTRATIONS
    assert PPOConfig(kl_place="none").needs(DECLARED).reference is Reference.NONE


def test_without_a_price_of_kl_ppo_is_ppo_at_a_beta_of_zero() -> None:
    after, logged = [], []
    for settings in (dict(kl_place="none"), dict(beta=0.0)):
        module, batch = learner(Policy(gpt2()), total=2, warmup=0.0, **settings)
        logged.append(set(fit(module, [batch, batch])[1]))
        after.append(weights(module.policy))
    assert logged[1] - logged[0] == {"train/kl", "train/beta"}
    for name, value in after[0].items():
        assert torch.equal(after[1][name], value)


def test_dual_clip_bounds_the_loss_of_tokens_that_became_far_too_likely() -> None:
    policy = Policy(gpt2(1))
    module, _ = learner(policy, dual_clip=1.5, value_coef=0.0)
    sequences = rollouts(TWIN, 6).sequences
    with torch.no_grad():
        new, old = policy(sequences).logps, TWIN(sequences).logps
    minus = -torch.ones_like(old)
    known = dict(logps=old, advantages=minus, values=minus, returns=minus)
    chunk = Chunk(sequences, known, sequences.completion.sum(), torch.tensor(6), False, torch.arange(6))
    ratios = (new - old).exp()[sequences.completion].tolist()
    assert max(ratios) > 1.5
    expected = sum(min(max(q, 0.8), 1.5) for q in ratios) / len(ratios)
    assert module._loss(chunk)[1]["policy_loss"].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("preset", "values"),
    [
        ("ppo_ptx", dict(ptx_weight=27.8, gae_lambda=0.95, kl_place="reward")),
        ("ppo_trl", dict(ptx_weight=0.0, gae_lambda=0.95, beta=0.05, rollout_epochs=4, missing_end_penalty=0.0)),
        ("ppo_openrlhf", dict(gae_lambda=1.0, beta=0.01, value_clip=0.5, value_lr_scale=9.0, minibatches=8)),
        ("ppo_verl", dict(gae_lambda=1.0, kl_place="none", dual_clip=3.0, value_lr_scale=10.0, minibatches=4)),
    ],
)
def test_what_each_preset_stands_for(preset: str, values: dict[str, Any]) -> None:
    found = preset_config(preset)
    assert {name: getattr(found, name) for name in values} == values


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(ptx_weight=-1.0), "algo.ptx_weight must lie in [0, inf), got -1.0"),
        (dict(kl_place="loss"), "algo.kl_place must be reward or none, got 'loss'"),
        (dict(dual_clip=1.0), "algo.dual_clip must be above 1, or 0 to switch it off, got 1.0"),
        (dict(kl_target=6.0, kl_place="none"), "algo.kl_target=6.0 is for a price that algo.kl_place=none does not"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        PPOConfig(**settings)
