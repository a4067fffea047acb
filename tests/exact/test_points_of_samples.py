"""Where methods that sample go, by their exact expected gradients, and that runs on samples end up near there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from alignlab.plugins.grpo.exact import fixed_point as grpo_point
from alignlab.plugins.nash_md.exact import fixed_point as nash_point
from alignlab.plugins.remax.exact import fixed_point as remax_point
from enumerated import F64, forward_kl, gradient, local, objective, reverse_kl, reward
from torch import Tensor
from worldly import BEST, BETA, WORLD, apart

from alignlab import registry
from alignlab.config import named_objective
from alignlab.exact import sampled
from alignlab.exact.cases import configured, figures
from alignlab.exact.settings import ExactConfig
from alignlab.modules.objective import PairObjective
from alignlab.numerics.divergence import ESTIMATORS
from alignlab.numerics.population import conditionals, inverse_tilt, joined
from alignlab.worlds import exact

AT = 1e-6


def ascend(pull: Callable[[Tensor], Tensor], steps: int = 400, rate: float = 0.3) -> Tensor:
    """Where a gradient leads from the reference, by natural steps: each logit's over how often it is drawn."""
    table = exact.reference_logits()
    for _ in range(steps):
        found = pull(table.clone().requires_grad_())
        logps = exact.sequence_logps(table)
        drawn = torch.zeros(8, 43, dtype=F64)
        for place in range(3):
            drawn.index_add_(1, exact.contexts()[:, place], logps.exp())
        table = table + rate * 8 * found / (drawn.unsqueeze(-1) * table.softmax(-1))
        if found.abs().max() < 1e-12:
            break
    return exact.sequence_logps(table)


def test_exact_gradient_ascent_finds_the_optimum() -> None:
    assert apart(ascend(lambda table: gradient(objective(table, BETA), table)), BEST) < AT


def grpo(**settings: Any) -> Tensor:
    given = dict(
        beta=BETA,
        group_size=8,
        baseline="mean",
        advantage_std="none",
        kl_place="loss",
        kl_estimator="k3",
        kl_weight="none",
    )
    found = grpo_point(WORLD, **(given | settings))
    assert found is not None
    return found


def test_grpo_with_k3_per_token_has_a_point_of_its_own_at_every_prefix() -> None:
    """pi(a | s) = beta ref(a | s) / (lambda_s - Q(s, a)), Q without KL, in groups so large that G / (G - 1) is 1."""
    predicted = grpo(group_size=1_000_000_000)
    pull = ascend(lambda table: gradient(reward(table) - BETA * local(table, forward_kl), table))
    assert apart(pull, predicted) < AT
    assert apart(predicted, BEST) > 0.05
    values = WORLD.reward.view(8, 6, 6, 6)
    for own, fixed in reversed(list(zip(*(conditionals(x, 6, 3) for x in (predicted, WORLD.reference)), strict=True))):
        level = BETA * (fixed - own).exp() + values
        torch.testing.assert_close(level, level[..., :1].expand_as(level), rtol=0, atol=1e-6)
        values = (own.exp() * values).sum(-1)


@pytest.mark.parametrize("size", [2, 8])
def test_in_groups_whose_mean_includes_the_row_beta_acts_as_more(size: int) -> None:
    share = (size - 1) / size  # of the gradient of the reward, as shown for groups of two by enumeration
    pull = ascend(lambda table: gradient(share * reward(table) - BETA * local(table, forward_kl), table))
    assert apart(pull, grpo(group_size=size)) < AT
    torch.testing.assert_close(grpo(group_size=size), grpo(baseline="leave_one_out", beta=BETA / share))


def test_grpo_with_k3_of_whole_completions_would_tilt_inversely() -> None:
    """pi = beta ref / (lambda - r): ascent by the expected gradient of the sequence's k3."""

    def pull(table: Tensor) -> Tensor:
        logps = exact.sequence_logps(table)
        kl = ESTIMATORS["k3"](logps, WORLD.reference)
        return gradient(reward(table) - BETA * (logps.detach().exp() * kl).sum(-1).mean(), table)

    predicted = inverse_tilt(WORLD.reward, WORLD.reference, BETA)
    level = BETA * (WORLD.reference - predicted).exp() + WORLD.reward
    torch.testing.assert_close(level, level[:, :1].expand_as(level), rtol=0, atol=1e-12)
    found = ascend(pull, steps=1500)
    assert apart(found, predicted) < AT
    assert apart(found, BEST) > 0.05


@pytest.mark.parametrize(
    "settings", [dict(kl_estimator="k2"), dict(kl_weight="ratio"), dict(kl_estimator="k1", kl_weight="ratio")]
)
def test_kl_of_the_next_token_in_the_loss_is_not_the_optimum_either(settings: dict[str, str]) -> None:
    predicted = grpo(group_size=1_000_000_000, **settings)
    pull = ascend(lambda table: gradient(reward(table) - BETA * local(table, reverse_kl), table))
    assert apart(pull, predicted) < AT
    assert apart(predicted, BEST) > 0.01


def test_kl_in_the_reward_is_the_optimum_and_in_the_advantage_at_a_higher_price() -> None:
    assert apart(grpo(kl_place="reward", kl_estimator="k1"), BEST) < 1e-12
    found = grpo(kl_place="advantage", kl_estimator="k1", group_size=2)
    assert apart(found, exact.optimum(WORLD.reference, WORLD.reward, 2 * BETA)) < 1e-12


def test_remax_with_immediate_kl() -> None:
    predicted = remax_point(WORLD, beta=BETA, discount=1.0, kl_credit="immediate")
    pull = ascend(lambda table: gradient(reward(table) - BETA * local(table, reverse_kl), table))
    assert apart(pull, predicted) < AT
    assert apart(remax_point(WORLD, beta=BETA, discount=1.0, kl_credit="to_go"), BEST) < 1e-12


@pytest.mark.parametrize("discount", [1.0, 0.0])
@pytest.mark.parametrize("mixture", [0.0, 0.5])
def test_nash_md_ends_where_it_is_the_best_answer_to_its_own_mixture(mixture: float, discount: float) -> None:
    predicted = nash_point(WORLD, beta=0.1, mixture=mixture, kl_discount=discount)
    better = (WORLD.reward[:, :, None] - WORLD.reward[:, None, :]).sigmoid()

    def pull(table: Tensor) -> Tensor:
        sides = (conditionals(logps, 6, 3) for logps in (exact.sequence_logps(table.detach()), WORLD.reference))
        mixed = [((1 - mixture) * own + mixture * ref).log_softmax(-1) for own, ref in zip(*sides, strict=True)]
        chance = (better * joined(mixed).exp()[:, None, :]).sum(-1)
        wins = (exact.sequence_logps(table).exp() * chance).sum(-1).mean()
        price = reward(table) - objective(table, 1.0) if discount else local(table, reverse_kl)
        return gradient(wins - 0.1 * price, table)

    assert apart(ascend(pull, rate=1.0), predicted) < AT


SETTINGS = ExactConfig(
    steps=250,
    variants={
        "soft": {"of": "online_dpo", "labels": "soft"},
        "no_std": {"of": "grpo", "advantage_std": "none"},
    },
)


def sample(name: str) -> Tensor:
    config = configured(name, SETTINGS)
    method = registry.method(config.method)
    named = named_objective(config)
    return sampled.train(method, config, PairObjective(*named) if named else None, WORLD, SETTINGS.steps, 0)


@pytest.mark.parametrize("name", ["ppo", "rloo", "soft"])
def test_runs_on_samples_end_near_the_optimum(name: str) -> None:
    found = figures(sample(name), WORLD, BETA)
    assert found.gap < 0.01
    assert found.to_optimum < 0.03


def test_grpo_on_samples_ends_near_its_own_point_and_not_the_optimum() -> None:
    config: Any = configured("no_std", SETTINGS)
    found, predicted = sample("no_std"), grpo(group_size=config.group_size)
    assert apart(found, predicted) < 0.03
    assert apart(found, BEST) > 0.08
