"""Win rates: identical models, both directions, padding, separation, and intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special

from alignlab.compare.intervals import mean_interval, wilson
from alignlab.compare.winrates import RIDGE, length_controlled, outcomes, turned, win_matrix, win_rate
from alignlab.errors import DataError


def judged(seed: int, pad: float, quality: float = 0.4, shape: tuple[int, int] = (5, 600)):
    """Outcomes of a judge who likes length, and the differences of length, the first reply padded by up to `pad`."""
    rng = np.random.default_rng(seed)
    first, second = rng.gamma(8, 10, size=(2, *shape))
    delta = first * (1 + pad * rng.random(shape)) - second
    liked = special.expit(quality + 1.5 * np.tanh(delta / 60))
    return (rng.random(shape) < liked).astype(float), delta


def test_outcomes_count_ties_as_half() -> None:
    np.testing.assert_array_equal(outcomes([3, 1, 2, np.nan], [1, 3, 2, 0]), [1, 0, 0.5, np.nan])
    np.testing.assert_array_equal(outcomes([1.0, 2.0], [1.05, 1.0], tie=0.1), [0.5, 1.0])


def test_identical_models_give_exactly_half() -> None:
    rng = np.random.default_rng(0)
    won = outcomes(*[rng.normal(size=(3, 50))] * 2)
    for rate in (win_rate(won), length_controlled(won, np.zeros((3, 50))), length_controlled(won[:1], won[:1] * 0)):
        assert rate.value == 0.5
    # The same model with replies of other lengths is still the same to a judge who sees only ties.
    assert length_controlled(won, rng.normal(size=won.shape)).value == 0.5


@pytest.mark.parametrize("runs", [1, 5])
def test_both_directions_add_up_to_one(runs: int) -> None:
    won, delta = judged(0, 0.5, shape=(runs, 300))
    there, back = length_controlled(won, delta), length_controlled(1 - won, -delta)
    assert there.value + back.value == pytest.approx(1, abs=1e-10)
    assert (there.low, there.high) == pytest.approx((1 - back.high, 1 - back.low), abs=1e-10)


def test_padding_moves_the_raw_rate_and_not_the_controlled_one() -> None:
    plain, padded = judged(1, 0.0), judged(1, 2.0)
    assert win_rate(padded[0]).value - win_rate(plain[0]).value > 0.1
    controlled = [length_controlled(*each).value for each in (plain, padded)]
    assert controlled == pytest.approx([special.expit(0.4)] * 2, abs=0.03)


def test_fit_is_the_penalised_optimum() -> None:
    won, delta = judged(2, 0.3, shape=(1, 200))
    x = np.tanh(delta / delta.std())[0]

    def loss(parameters: np.ndarray) -> float:
        logit = parameters[0] + parameters[1] * x
        return -(won[0] * logit - np.logaddexp(0, logit)).sum() + RIDGE / 2 * parameters[1] ** 2

    best = optimize.minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-9}).x
    assert length_controlled(won, delta).value == pytest.approx(special.expit(best[0]), abs=1e-6)


def test_separation_by_length_stays_finite() -> None:
    delta = np.r_[np.linspace(-50, -1, 30), np.linspace(1, 50, 30)]
    found = length_controlled((delta > 0).astype(float), delta)
    assert found.value == pytest.approx(0.5, abs=1e-6)
    assert 0 < found.low < found.high < 1


def test_constant_padding_cannot_be_told_from_quality() -> None:
    won = np.r_[np.ones(30), np.zeros(10)]
    found = length_controlled(won, np.full(40, 25.0))
    assert found.value == pytest.approx(0.75)
    assert "cannot be told from quality" in found.notes[-1]


def test_seeds_are_the_unit() -> None:
    won, _ = judged(3, 0.0)
    expected = mean_interval(won.mean(1))
    found = win_rate(won)
    assert (found.value, found.low, found.high, found.n) == (expected.value, expected.low, expected.high, 5)


def test_one_run_has_the_error_of_its_prompts() -> None:
    found = win_rate([1, 1, 0.5, 0])
    assert (found.low, found.high) == wilson(2.5, 4)
    assert "One run" in found.notes[0]


@pytest.mark.parametrize("runs", [1, 4])
def test_no_losses_keep_an_interval(runs: int) -> None:
    won = np.ones((runs, 20))
    for found in (win_rate(won), length_controlled(won, np.random.default_rng(0).normal(size=won.shape))):
        assert (found.value, found.high) == (1, 1)
        assert found.low == pytest.approx(0.025 ** (1 / 20))


def test_missing_prompts_and_seeds() -> None:
    won, delta = judged(4, 0.2)
    won[1] = np.nan
    won[0, :7] = np.nan
    delta[0, :7] = np.nan
    found = length_controlled(won, delta)
    assert (found.n, found.missing) == (4, 1)
    alone = length_controlled(won[:1, 7:], delta[:1, 7:])
    assert length_controlled(won[:1], delta[:1]).value == pytest.approx(alone.value, abs=1e-12)
    with pytest.raises(DataError, match="no prompt was judged"):
        win_rate([np.nan])
    with pytest.raises(DataError, match="a judged reply has no length"):
        length_controlled([1.0, 0.0], [np.nan, 1.0])
    with pytest.raises(DataError, match=r"lies outside \[0, 1\]"):
        win_rate([2.0])


def test_matrix_agrees_with_its_pairs() -> None:
    rng = np.random.default_rng(5)
    scores, lengths = rng.normal(size=(4, 3, 80)), rng.gamma(5, 10, size=(4, 3, 80))
    found = win_matrix(scores, "abcd", lengths)
    for i in range(4):
        assert found.raw[i][i].value == 0.5
        for j in range(4):
            assert found.raw[i][j].value + found.raw[j][i].value == pytest.approx(1, abs=1e-12)
    won = outcomes(scores[2], scores[1])
    assert found.raw[2][1].value == pytest.approx(win_rate(won).value)
    expected = length_controlled(won, lengths[2] - lengths[1])
    assert found.controlled[2][1].value == pytest.approx(expected.value, abs=1e-10)
    assert turned(found.controlled[1][2]) == found.controlled[2][1]
    assert win_matrix(scores, "abcd").controlled is None


def test_sixty_methods_are_no_matter() -> None:
    rng = np.random.default_rng(6)
    scores, lengths = rng.normal(size=(60, 2, 40)), rng.gamma(5, 10, size=(60, 2, 40))
    found = win_matrix(scores, [str(each) for each in range(60)], lengths)
    assert all(0 <= rate.low <= rate.value <= rate.high <= 1 for line in found.controlled for rate in line)
