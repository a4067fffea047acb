"""Where paired methods go with every pair in their training set, against closed forms written out here."""

from __future__ import annotations

import math

import pytest
import torch
from worldly import BEST, BETA, WORLD, apart, loss, tilted, trained

from alignlab.exact.cases import divergence_from
from alignlab.worlds import exact

AT = 1e-6
"""KL in nats that counts as being there."""
REF, REWARD = WORLD.reference, WORLD.reward
WINS = exact.preferences(REWARD).mean(-1)
"""p(y > mu) for uniform mu."""


@pytest.mark.parametrize("preset", ["dpo", "wpo", "r_dpo", "f_dpo"])
@pytest.mark.parametrize("on_policy", [False, True], ids=["uniform", "reference"])
def test_the_optimum_whichever_pairs_are_drawn(preset: str, on_policy: bool) -> None:
    world = exact.population(on_policy=on_policy)
    settings = dict(beta=BETA, divergence="reverse_kl") if preset == "f_dpo" else dict(beta=BETA)
    assert apart(trained(preset, world, **settings).logps, BEST) < AT


@pytest.mark.parametrize("flip", [0.1, 0.3])
def test_robust_dpo_finds_the_optimum_through_flipped_labels_and_dpo_does_not(flip: float) -> None:
    world = exact.population(flip=flip)
    assert apart(trained("robust_dpo", world, beta=BETA, flip_rate=flip).logps, BEST) < AT
    assert apart(trained("dpo", world, beta=BETA).logps, BEST) > 0.04


def test_conservative_dpo_on_clean_labels_is_dpo_on_flipped_ones_and_not_the_optimum() -> None:
    smoothed = trained("dpo", beta=BETA, label_smoothing=0.1).logps
    assert apart(smoothed, trained("dpo", exact.population(flip=0.1), beta=BETA).logps) < AT
    assert apart(smoothed, BEST) > 0.04
    assert divergence_from(smoothed, REF) < divergence_from(BEST, REF)  # it stays closer


def test_ipo_tilts_by_the_chance_to_win() -> None:
    found = trained("ipo", beta=BETA).logps
    assert apart(found, tilted(WINS / BETA)) < AT
    assert apart(found, BEST) > 0.4


def test_ipo_of_mean_log_probabilities_acts_with_tau_over_the_length() -> None:
    assert apart(trained("ipo", beta=BETA, length_normalised=True).logps, tilted(3 * WINS / BETA)) < AT


def test_simpo_without_margin_forgets_the_reference() -> None:
    found = trained("simpo", beta=2.0, target_margin=0.0).logps
    assert apart(found, (3 * REWARD / 2.0).log_softmax(-1)) < AT


def test_alphapo_without_margin_shapes_the_reward_by_a_power() -> None:
    """beta (1 - p^-alpha) / alpha - r is the same for all completions of a prompt, p the mean token probability."""
    found = trained("alphapo", beta=1.0, target_margin=0.0, alpha=0.25).logps
    rest = (1 - torch.exp(-0.25 * found / 3)) / 0.25 - REWARD
    torch.testing.assert_close(rest, rest[:, :1].expand_as(rest), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("preset", "rest"),
    [
        ("f_dpo_forward", lambda u: -1 / u),
        ("f_dpo_js", lambda u: torch.log(u / (1 + u))),
        ("f_dpo_alpha", lambda u: -2 / u.sqrt()),
    ],
)
def test_f_dpo_maximises_reward_less_its_divergence(preset: str, rest) -> None:
    """beta f'(pi/ref) - r is the same for all completions of a prompt; for forward KL pi = beta ref / (lambda - r)."""
    found = trained(preset, beta=2.0).logps
    constant = 2.0 * rest((found - REF).exp()) - REWARD
    torch.testing.assert_close(constant, constant[:, :1].expand_as(constant), rtol=0, atol=1e-6)


def test_nca_weighs_by_wins_where_its_ratios_sum_to_one() -> None:
    """For beta = 1 and pairs from the reference: pi = 2 ref p(y > ref)."""
    world = exact.population(on_policy=True)
    wins = (exact.preferences(REWARD) * REF.exp()[:, None]).sum(-1)
    expected = REF + (2 * wins).log()
    torch.testing.assert_close(expected.exp().sum(-1), torch.ones(8, dtype=expected.dtype), rtol=0, atol=1e-12)
    assert apart(trained("nca", world, beta=1.0).logps, expected) < AT


def test_sppo_is_ipo_but_for_the_normaliser() -> None:
    """pi / mu and rho - (p - 1/2) / beta are proportional: the multiplier of a sum of probabilities."""
    found = trained("sppo", beta=BETA).logps
    share = ((WINS - 0.5) / BETA - (found - REF)) / found.exp()
    torch.testing.assert_close(share, share[:, :1].expand_as(share), rtol=0, atol=1e-9)
    assert 0 < apart(found, tilted(WINS / BETA)) < 0.01


def test_apo_zero_empties_the_worse_half() -> None:
    found = trained("apo_zero", beta=BETA)
    assert found.away
    losers = WINS < 0.5
    assert float((found.logps.exp() * losers).sum(-1).max()) < 1e-8
    rho = (found.logps - REF) * ~losers
    share = (2 * WINS - 1) * torch.sigmoid(BETA * rho) * torch.sigmoid(-BETA * rho) / found.logps.exp()
    for row, kept in zip(share, ~losers, strict=True):
        torch.testing.assert_close(row[kept], row[kept][:1].expand_as(row[kept]), rtol=1e-4, atol=0)


def test_hinge_asks_for_whole_multiples_of_its_margin() -> None:
    """A linear program over differences: its predicted vertex costs no more than where descent comes to a halt."""
    from alignlab.plugins.hinge.exact import fixed_point

    predicted, rows = fixed_point(WORLD, beta=BETA), torch.arange(8)
    levels = BETA * (predicted - REF)
    levels = levels - levels.amin(-1, keepdim=True)
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-12)
    assert round(float(levels.max())) == 3
    problem = loss("hinge", beta=BETA)
    best = problem.value(predicted, rows).sum()
    for shift in (-1.0, 1.0):  # no level taken alone, nor any part of one above a completion, is better elsewhere
        for row in range(8):
            for cut in levels[row].unique():
                moved = levels[row] + shift * (levels[row] >= cut)
                tried = (REF[row] + moved / BETA).log_softmax(-1)[None]
                here, there = (problem.value(each, rows[row, None]) for each in (predicted[row, None], tried))
                assert there >= here - 1e-12
    found = trained("hinge", beta=BETA)
    assert 0 <= float(problem.value(found.logps, rows).sum() - best) < 2e-3 * float(best)


def test_dpo_positive_hardly_moves() -> None:
    """A price of 50 for every nat a chosen completion loses: with every pair present each is chosen now and then."""
    assert divergence_from(trained("dpop", beta=BETA).logps, REF) < 0.01


@pytest.mark.parametrize("preset", ["orpo", "cpo", "exo", "discopop", "mpo"])
def test_points_without_a_closed_form_are_not_the_optimum(preset: str) -> None:
    found = trained(preset, **({} if preset == "orpo" else dict(beta=BETA)))
    assert found.slope < AT
    assert apart(found.logps, BEST) > 0.5


def test_robust_dpo_overshoots_where_labels_are_better_than_it_thinks() -> None:
    found = trained("robust_dpo", beta=BETA, flip_rate=0.1).logps
    assert divergence_from(found, REF) > 1.5 * divergence_from(BEST, REF)
    assert math.isclose(apart(found, BEST), 0.16, abs_tol=0.01)
