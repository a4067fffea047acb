"""What fixed points are built from, against conditions they must meet and small cases worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from alignlab.numerics.population import (
    Population,
    apart,
    bradley_terry_scores,
    conditionals,
    inverse_tilt,
    is_bradley_terry,
    joined,
    kept_winners,
    normalised,
    root,
    tilted,
    token_by_token,
)

F64 = torch.float64


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def world(prompts: int = 2, vocabulary: int = 3, length: int = 2) -> Population:
    count = vocabulary**length
    reward = random(prompts, count)
    return Population(
        reference=random(prompts, count, seed=1).log_softmax(-1),
        reward=reward,
        preference=(reward[:, :, None] - reward[:, None, :]).sigmoid(),
        sampling=random(prompts, count, seed=2).softmax(-1),
        vocabulary=vocabulary,
        length=length,
    )


def test_wins_average_preferences_over_the_sampled_opponent() -> None:
    given = world()
    x, y = 1, 4
    expected = sum(given.sampling[x, j].item() * given.preference[x, y, j].item() for j in range(9))
    assert given.wins[x, y].item() == pytest.approx(expected, abs=1e-14)


def test_roots_of_decreasing_functions() -> None:
    target = torch.tensor([0.1, 2.0, -3.0], dtype=F64)
    found = root(lambda x: target - x**3, torch.full((3,), -5.0, dtype=F64), torch.full((3,), 5.0, dtype=F64))
    torch.testing.assert_close(found**3, target, rtol=0, atol=1e-12)


def test_the_normalised_member_of_a_family() -> None:
    weights = random(4, 5)
    found = normalised(lambda level: weights - level, 4)
    torch.testing.assert_close(found, weights.log_softmax(-1), rtol=0, atol=1e-12)


def test_scores_of_bradley_terry_preferences_are_found() -> None:
    given = world()
    scores = bradley_terry_scores(given.preference, given.sampling)
    torch.testing.assert_close(scores, given.reward - given.reward.mean(-1, keepdim=True), rtol=0, atol=1e-10)
    assert is_bradley_terry(given.preference, scores)


def test_scores_of_other_preferences_win_as_often_as_observed() -> None:
    given = world()
    noise = random(2, 9, 9, seed=3).sigmoid()
    preference = (noise + 1 - noise.transpose(1, 2)) / 2
    scores = bradley_terry_scores(preference, given.sampling)
    fitted = (scores[:, :, None] - scores[:, None, :]).sigmoid()
    wins = ((each * given.sampling[:, None, :]).sum(-1) for each in (fitted, preference))
    torch.testing.assert_close(*wins, rtol=0, atol=1e-11)
    assert not is_bradley_terry(preference, scores)


def test_conditionals_multiply_to_the_whole() -> None:
    given = world(prompts=3, vocabulary=4, length=3)
    tokens = conditionals(given.reference, 4, 3)
    assert [each.shape for each in tokens] == [(3, 4), (3, 4, 4), (3, 4, 4, 4)]
    for each in tokens:
        torch.testing.assert_close(each.exp().sum(-1), torch.ones(each.shape[:-1], dtype=F64), rtol=0, atol=1e-12)
    torch.testing.assert_close(joined(tokens), given.reference, rtol=0, atol=1e-12)


def test_soft_values_give_the_optimum_and_plain_values_do_not() -> None:
    """The tilt at every prefix is the optimum only if Q counts the KL that is still to come."""
    given, beta = world(), 0.7
    best = tilted(given.reference, given.reward / beta)
    plain = token_by_token(given, given.reward, lambda q, ref, place: (ref + q / beta).log_softmax(-1))
    first, last = conditionals(given.reference, 3, 2)
    soft = beta * (last + given.reward.view(2, 3, 3) / beta).logsumexp(-1)
    by_hand = joined(
        [(first + soft / beta).log_softmax(-1), (last + given.reward.view(2, 3, 3) / beta).log_softmax(-1)]
    )
    torch.testing.assert_close(by_hand, best, rtol=0, atol=1e-12)
    assert (plain - best).abs().max() > 1e-3
    value = (conditionals(plain, 3, 2)[1].exp() * given.reward.view(2, 3, 3)).sum(-1)
    torch.testing.assert_close(conditionals(plain, 3, 2)[0], (first + value / beta).log_softmax(-1), rtol=0, atol=1e-12)


def test_inverse_tilt_of_two_tokens_solves_a_quadratic() -> None:
    """beta / 2 [1 / l + 1 / (l + 1)] = 1 for a fair reference and values 1 and 0, l the level less 1."""
    beta = 0.5
    gap = (-(1 - beta) + math.sqrt((1 - beta) ** 2 + 2 * beta)) / 2
    expected = torch.tensor([beta / 2 / gap, beta / 2 / (gap + 1)], dtype=F64).log()
    found = inverse_tilt(torch.tensor([1.0, 0.0], dtype=F64), torch.tensor([0.5, 0.5], dtype=F64).log(), beta)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_separate_losses_meet_in_one_multiplier() -> None:
    given = world()
    target = random(2, 9, seed=4)
    found = apart(given, lambda rho: target - rho)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(2, dtype=F64), rtol=0, atol=1e-11)
    pull = given.sampling * (target - (found - given.reference)) / found.exp()
    torch.testing.assert_close(pull, pull[:, :1].expand_as(pull), rtol=0, atol=1e-9)


def test_separate_losses_whose_minima_sum_to_one_are_met_exactly() -> None:
    given = world()
    wanted = random(2, 9, seed=5).log_softmax(-1)
    found = apart(given, lambda rho: (wanted - given.reference) - rho)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("beta", [0.3, 0.9])
def test_losers_vanish_and_winners_pull_alike(beta: float) -> None:
    given = world()
    lead = random(2, 9, seed=6)
    found = kept_winners(given, lead, beta)
    assert torch.equal(found == -math.inf, lead <= 0)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(2, dtype=F64), rtol=0, atol=1e-10)
    for row in range(2):
        kept = lead[row] > 0
        z = beta * (found[row] - given.reference[row])[kept]
        pull = (given.sampling[row] * lead[row])[kept] * z.sigmoid() * (-z).sigmoid() / found[row][kept].exp()
        torch.testing.assert_close(pull, pull[:1].expand_as(pull), rtol=1e-9, atol=0)
