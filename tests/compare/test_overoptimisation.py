"""Planted coefficients recovered, and what is said where there is no peak."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alignlab.compare.overoptimisation import BEST_OF_N, LEARNED, best_of_n_kl, fit
from alignlab.errors import ConfigError, DataError

D = np.tile(np.linspace(0.4, 6, 12), 6)
SEEDS = np.repeat(np.arange(6), 12)


def gain(form: str, d: np.ndarray, a: float, b: float) -> np.ndarray:
    return d * (a - b * d) if form == BEST_OF_N else d * (a - b * np.log(d))


@pytest.mark.parametrize(("form", "peak"), [(BEST_OF_N, 1.2 / 0.6), (LEARNED, math.exp(1.2 / 0.9 - 1))])
def test_planted_coefficients_are_recovered_exactly(form: str, peak: float) -> None:
    b = 0.3 if form == BEST_OF_N else 0.9
    found = fit(D**2, gain(form, D, 1.2, b), SEEDS, form)
    assert (found.a, found.b, found.peak) == pytest.approx((1.2, b, peak), abs=1e-9)
    assert found.inside
    assert found.residual_sd < 1e-9
    fine = np.linspace(0.4, 6, 20_001)
    assert fine[found.gain(fine).argmax()] == pytest.approx(peak, abs=1e-3)


@pytest.mark.parametrize("form", [BEST_OF_N, LEARNED])
def test_intervals_over_seeds_hold_the_truth(form: str) -> None:
    """Each seed has a slope of its own, as a reward model of its own gives it."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 10)
    d = np.tile(np.linspace(0.5, 4, 10), 20)
    held = 0
    for _ in range(60):
        slopes = 1.5 + 0.2 * rng.normal(size=20)[groups]
        y = gain(form, d, slopes, 0.35) + 0.1 * rng.normal(size=d.size)
        found = fit(d**2, y, groups, form, draws=2_000)
        held += found.a_interval[0] <= 1.5 <= found.a_interval[1]
        assert found.peak_interval[0] < found.peak < found.peak_interval[1]
    assert held >= 50


def test_the_learned_form_drops_the_nearest_points() -> None:
    d = np.r_[0.0, 0.1, 0.29, 0.5, 1.0, 2.0, 3.0]
    y = np.r_[9.0, 9.0, 9.0, gain(LEARNED, d[3:], 1.0, 0.5)]
    found = fit(d**2, y, np.zeros(7), LEARNED)
    assert (found.used, found.dropped, found.a) == (4, 3, pytest.approx(1.0))
    assert found.a_interval == (None, None)


def test_a_peak_beyond_the_points_is_flagged() -> None:
    d = np.linspace(0.4, 1, 8)
    found = fit(d**2, gain(BEST_OF_N, d, 1.0, 0.1), np.arange(8) % 2, BEST_OF_N)
    assert (found.peak, found.inside) == (pytest.approx(5.0), False)
    assert any("extrapolation" in note for note in found.notes)


@pytest.mark.parametrize("form", [BEST_OF_N, LEARNED])
def test_a_gain_that_does_not_turn_has_no_peak(form: str) -> None:
    found = fit(D**2, gain(form, D, 1.0, -0.1), SEEDS, form)
    assert (found.peak, found.peak_interval, found.inside) == (None, (None, None), False)
    assert "The gain does not turn: no peak." in found.notes


def test_kl_of_best_of_n() -> None:
    assert best_of_n_kl(1) == 0
    assert best_of_n_kl(4) == pytest.approx(math.log(4) - 0.75)
    with pytest.raises(ConfigError, match="best of 0 samples"):
        best_of_n_kl(0)


def test_too_little_to_fit_is_refused() -> None:
    with pytest.raises(DataError, match="at 1 distances do not give a curve"):
        fit(np.ones(5), np.ones(5), np.arange(5), BEST_OF_N)
    with pytest.raises(DataError, match="a KL is negative"):
        fit([-0.1, 1, 2], [0, 1, 2], [0, 0, 0], BEST_OF_N)
    with pytest.raises(ConfigError, match="no form 'cubic'"):
        fit([0.1, 1, 2], [0, 1, 2], [0, 0, 0], "cubic")
