"""What gradient estimators are on average, by enumeration: all 216 completions, all pairs for groups of two.

Where an estimator is unbiased its expectation is the gradient of the declared objective; where it is not, the declared
bias is what is found.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from alignlab.plugins.grpo.loss import AGGREGATES, RATIOS, SURROGATES, token_advantages
from alignlab.plugins.nash_md.loss import advantages as nash_advantages
from alignlab.plugins.ppo.loss import targets
from alignlab.plugins.reinforce.loss import BASELINES, Average, policy_gradient_loss, returns
from alignlab.plugins.reinforce_pp.loss import advantages as whitened_advantages
from alignlab.plugins.remax.loss import advantages as remax_advantages
from alignlab.plugins.rloo.loss import SURROGATES as RLOO_SURROGATES
from alignlab.plugins.rloo.loss import advantages as rloo_advantages
from enumerated import F64, Rollouts, forward_kl, gradient, local, objective, reverse_kl, reward, rollouts, somewhere
from torch import Tensor
from worldly import WORLD

from alignlab.numerics.divergence import ESTIMATORS, importance_weighted
from alignlab.numerics.masked import whiten
from alignlab.numerics.surrogate import clipped_policy_loss, sequence_mean
from alignlab.worlds import exact

BETA = 0.3
TOKENS = 3


def same(found: Tensor, expected: Tensor) -> None:
    """Equal to rounding, and not because both are 0."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert expected.abs().max() > 1e-3


def weighted(rows: Rollouts, per_token: Tensor) -> Tensor:
    """Expected sum over the tokens of a completion."""
    return (rows.weights[:, None] * per_token).sum() / rows.size


@pytest.mark.parametrize("baseline", [0.0, 1.7])
def test_reinforce_with_any_fixed_baseline_has_the_gradient_of_the_objective(baseline: float) -> None:
    table = somewhere()
    rows = rollouts(table)
    to_go = returns(rows.rewards, rows.old, rows.reference, rows.mask, beta=BETA)
    before = Average(torch.tensor(baseline * 10, dtype=F64), torch.tensor(10.0, dtype=F64))
    taken = BASELINES["moving_average"](before, before)
    assert float(taken) == pytest.approx(baseline)
    loss = weighted(rows, policy_gradient_loss(rows.logps, to_go - taken))
    same(gradient(loss, table), -gradient(objective(table, BETA), table))


def test_reinforce_with_the_mean_of_its_own_batch_shrinks_the_gradient() -> None:
    """Batches of two completions: (n - 1) / n of the gradient, the declared bias."""
    table = somewhere(prompts=2)
    rows = rollouts(table, 2)
    to_go = returns(rows.rewards, rows.old, rows.reference, rows.mask, beta=BETA)
    mean = to_go[:, 0].view(-1, 2).mean(-1).repeat_interleave(2)  # what `batch_mean` takes from both
    loss = weighted(rows, policy_gradient_loss(rows.logps, to_go - mean[:, None]))
    same(gradient(loss, table), -0.5 * gradient(objective(table, BETA), table))


@pytest.mark.parametrize("kl_place", ["reward", "advantage"])
@pytest.mark.parametrize("surrogate", ["reinforce", "sequence_clip", "token_clip"])
def test_rloo_has_the_gradient_of_the_objective(surrogate: str, kl_place: str) -> None:
    if (surrogate, kl_place) == ("sequence_clip", "advantage"):
        return  # refused: one advantage a completion
    table = somewhere(prompts=2)
    rows = rollouts(table, 2)
    compared = rloo_advantages(rows.rewards, rows.log_ratio, rows.mask, group_size=2, beta=BETA, kl_place=kl_place)
    # At ratio 1 every surrogate is homogeneous in the advantage, so that the weight of a group can ride on it.
    given = (rows.logps, rows.old, compared * rows.weights[:, None], rows.mask, rows.whole)
    loss = RLOO_SURROGATES[surrogate](*given, clip=0.2)
    scale = TOKENS if surrogate == "token_clip" else 1  # a mean over tokens, not a sum
    same(scale * gradient(loss, table), -gradient(objective(table, BETA), table))


def grpo(rows: Rollouts, *, kl_place: str = "none", estimator: str = "k1", **settings: str) -> Tensor:
    """Expected loss of groups, KL in the loss left out."""
    chosen = dict(baseline="mean", advantage_std="none") | settings
    compared = token_advantages(
        rows.rewards,
        ESTIMATORS[estimator](rows.old, rows.reference),
        rows.mask,
        group_size=rows.size,
        beta=BETA,
        kl_place=kl_place,
        std_eps=0.0,
        **{name: chosen[name] for name in ("baseline", "advantage_std")},
    )
    ratio = RATIOS[chosen.get("ratio", "token")](rows.logps, rows.old, rows.mask)
    bounds = dict(clip_low=0.2, clip_high=0.2, dual_clip=0.0)
    carried = compared * rows.weights[:, None]
    loss = SURROGATES[chosen.get("surrogate", "clipped")](ratio, rows.logps, carried, **bounds)
    loss = loss if loss.shape == carried.shape else loss.expand_as(carried)
    return AGGREGATES[chosen.get("aggregate", "sequence")](loss, rows.mask, rows.whole)


@pytest.mark.parametrize(("baseline", "share"), [("mean", 0.5), ("leave_one_out", 1.0)])
def test_grpo_without_deviation_has_a_share_of_the_gradient_of_the_reward(baseline: str, share: float) -> None:
    """The mean of a group includes the row's own reward: (G - 1) / G of the gradient, so that beta acts as 2 beta."""
    table = somewhere(prompts=2)
    loss = grpo(rollouts(table, 2), baseline=baseline)
    same(TOKENS * gradient(loss, table), -share * gradient(reward(table), table))


def test_grpo_with_kl_in_the_reward_has_a_share_of_the_gradient_of_the_objective() -> None:
    table = somewhere(prompts=2)
    loss = grpo(rollouts(table, 2), kl_place="reward")
    same(TOKENS * gradient(loss, table), -0.5 * gradient(objective(table, BETA), table))


def test_grpo_with_kl_in_the_advantage_prices_it_twice_for_groups_of_two() -> None:
    table = somewhere(prompts=2)
    loss = grpo(rollouts(table, 2), kl_place="advantage")
    same(TOKENS * gradient(loss, table), -0.5 * gradient(objective(table, 2 * BETA), table))


def test_grpo_with_deviation_follows_who_wins_and_not_by_how_much() -> None:
    """(R - mean) / std of two rewards is +-1 / sqrt 2: the gradient of winning against a copy of oneself."""
    table = somewhere(prompts=2)
    rows = rollouts(table, 2)
    clear = replace(rows, rewards=rows.rewards.round(decimals=9))  # equal rewards differ by rounding
    loss = grpo(clear, advantage_std="group")
    policy, known = exact.sequence_logps(table).exp(), WORLD.reward[:2].round(decimals=9)
    sign = (known[:, :, None] - known[:, None, :]).sign()
    lead = (policy[:, :, None] * sign * policy.detach()[:, None, :]).sum((1, 2)).mean()
    same(TOKENS * gradient(loss, table), -gradient(lead, table) / 2**0.5)


@pytest.mark.parametrize("changes", [{"ratio": "sequence"}, {"surrogate": "cispo"}, {"aggregate": "token"}])
def test_on_policy_the_variants_of_grpo_have_one_gradient(changes: dict[str, str]) -> None:
    """GSPO, CISPO and the mean over tokens differ from GRPO by clipping and by length, of which there is none here."""
    table = somewhere(prompts=1)
    same(gradient(grpo(rollouts(table, 2), **changes), table), gradient(grpo(rollouts(table, 2)), table))


@pytest.mark.parametrize(
    ("estimator", "weigh", "divergence"),
    [("k3", False, forward_kl), ("k2", False, reverse_kl), ("k1", True, reverse_kl), ("k3", True, reverse_kl)],
)
def test_kl_per_token_in_the_loss_is_a_divergence_of_the_next_token_alone(estimator, weigh, divergence) -> None:
    table = somewhere()
    rows = rollouts(table)
    kl = ESTIMATORS[estimator](rows.logps, rows.reference)
    if weigh:
        kl = importance_weighted(kl, rows.logps, rows.old)
    found = gradient(sequence_mean(kl * rows.weights[:, None], rows.mask, rows.whole), table)
    same(TOKENS * found, gradient(local(table, divergence), table))
    whole = gradient(-objective(table, 1.0) + reward(table), table)
    assert (TOKENS * found - whole).abs().max() > 1e-3  # and not the gradient of the KL of completions


def test_k1_per_token_in_the_loss_has_no_expected_gradient() -> None:
    table = somewhere()
    rows = rollouts(table)
    kl = ESTIMATORS["k1"](rows.logps, rows.reference)
    found = gradient(sequence_mean(kl * rows.weights[:, None], rows.mask, rows.whole), table)
    assert found.abs().max() < 1e-12


@pytest.mark.parametrize(("estimator", "reverse"), [("k2", True), ("k3", False)])
def test_of_whole_completions_k2_has_the_gradient_of_kl_and_k3_of_the_other_kl(estimator: str, reverse: bool) -> None:
    table = somewhere()
    rows = rollouts(table)
    kl = ESTIMATORS[estimator](rows.logps.sum(-1), rows.reference.sum(-1))
    logps = exact.sequence_logps(table)
    both = exact.divergence(logps, WORLD.reference), exact.divergence(WORLD.reference, logps)
    same(gradient((rows.weights * kl).sum(), table), gradient(both[not reverse].mean(), table))


@pytest.mark.parametrize(("credit", "discount"), [("to_go", 1.0), ("immediate", 1.0)])
def test_remax_pays_for_all_kl_to_come_or_for_that_of_the_next_token(credit: str, discount: float) -> None:
    table = somewhere()
    rows = rollouts(table)
    greedy = torch.linspace(-1, 1, 8, dtype=F64).repeat_interleave(216)  # any number of the prompt
    settings = dict(beta=BETA, discount=discount, kl_credit=credit)
    gains = remax_advantages(rows.rewards, greedy, rows.log_ratio, rows.mask, **settings)
    found = gradient(weighted(rows, -gains * rows.logps), table)
    if credit == "to_go":
        same(found, -gradient(objective(table, BETA), table))
    else:
        same(found, gradient(-reward(table) + BETA * local(table, reverse_kl), table))


@pytest.mark.parametrize("discount", [1.0, 0.0])
def test_nash_md_has_the_gradient_of_winning_less_kl(discount: float) -> None:
    table = somewhere()
    rows = rollouts(table)
    other = exact.sequence_logps(somewhere(2).detach()).exp()
    chance = ((WORLD.reward[:, :, None] - WORLD.reward[:, None, :]).sigmoid() * other[:, None, :]).sum(-1)
    earned = nash_advantages(chance.flatten(), rows.old, rows.reference, rows.mask, beta=BETA, kl_discount=discount)
    found = gradient(weighted(rows, -earned * rows.logps), table)
    wins = (exact.sequence_logps(table).exp() * chance).sum(-1).mean()
    price = reward(table) - objective(table, 1.0) if discount else local(table, reverse_kl)
    same(found, -gradient(wins - BETA * price, table))


def evenly(seed: int = 3) -> tuple[Tensor, Rollouts]:
    """A uniform policy: its completions are all equally likely, so that one of each is the whole distribution.

    Statistics over such a rollout, as for whitening, are those of the population.
    """
    torch.manual_seed(seed)
    table = torch.zeros(8, 43, 6, dtype=F64, requires_grad=True)
    return table, rollouts(table)


def test_whitening_scales_the_gradient_of_reinforce_pp_and_does_not_turn_it() -> None:
    table, rows = evenly()
    settings = dict(group_size=1, baseline="none", beta=BETA)
    whitened = whitened_advantages(rows.rewards, rows.log_ratio, rows.mask, **settings)
    to_go = returns(rows.rewards, rows.old, rows.reference, rows.mask, beta=BETA)
    found = gradient(weighted(rows, -whitened * rows.logps), table)
    same(found, -gradient(objective(table, BETA), table) / (to_go.std(correction=0) + 1e-8))


@pytest.mark.parametrize(("gae_lambda", "values"), [(1.0, "any"), (1.0, "true"), (0.95, "true"), (0.0, "true")])
def test_the_first_update_of_ppo_has_the_whitened_gradient_of_the_objective(gae_lambda: float, values: str) -> None:
    """With lambda = 1 whatever the values are; with less only if they are those of the policy."""
    table, rows = evenly()
    to_go = returns(rows.rewards, rows.old, rows.reference, rows.mask, beta=BETA)
    known = to_go.view(8, 6, 6, 6, 3)
    true = [
        known[..., 0].mean((1, 2, 3), keepdim=True).expand(8, 6, 6, 6),
        known[..., 1].mean((2, 3), keepdim=True).expand(8, 6, 6, 6),
        known[..., 2].mean(3, keepdim=True).expand(8, 6, 6, 6),
    ]
    state = torch.stack(true, -1).reshape(-1, 3)
    guess = state + (torch.sin(5 * state) if values == "any" else 0)
    settings = dict(beta=BETA, discount=1.0, gae_lambda=gae_lambda)
    raw = targets(rows.rewards, rows.old, rows.reference, guess, rows.mask, **settings).advantages
    advantages = whiten(raw, rows.mask)
    loss = clipped_policy_loss(rows.logps, rows.old, advantages, clip=0.2)
    same(
        gradient(weighted(rows, loss), table), -gradient(objective(table, BETA), table) / (raw.std(correction=0) + 1e-8)
    )


def test_ppo_with_wrong_values_and_less_lambda_is_biased() -> None:
    table, rows = evenly()
    settings = dict(beta=BETA, discount=1.0, gae_lambda=0.5)
    wrong = torch.sin(rows.rewards)[:, None].expand(-1, 3)
    raw = targets(rows.rewards, rows.old, rows.reference, wrong, rows.mask, **settings).advantages
    found = gradient(weighted(rows, -raw * rows.logps), table)
    assert (found + gradient(objective(table, BETA), table)).abs().max() > 1e-3
