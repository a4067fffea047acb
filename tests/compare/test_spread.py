"""When methods are said to vary too differently to share a residual."""

from __future__ import annotations

import numpy as np
import pytest

from alignlab.compare.spread import residuals, spread_of


@pytest.mark.parametrize(("methods", "seeds"), [(3, 3), (10, 3), (10, 8)])
def test_equal_methods_are_rarely_called_uneven(methods: int, seeds: int) -> None:
    rng = np.random.default_rng(0)
    uneven = np.mean([spread_of(rng.standard_normal((methods, seeds))).uneven for _ in range(2_000)])
    assert uneven < 0.065


def test_the_plain_ratio_would_nearly_always_fire() -> None:
    """Why a test stands beside the ratio: three seeds leave the smallest of ten sds near 0."""
    squares = (residuals(np.random.default_rng(0).standard_normal((2_000, 10, 3))) ** 2).sum(-1)
    assert np.mean(squares.max(1) > 9 * squares.min(1)) > 0.9


def test_one_wild_method_of_ten_is_found() -> None:
    rng = np.random.default_rng(1)
    sd = np.array([8.0] + [1.0] * 9)[:, None]
    assert np.mean([spread_of(rng.standard_normal((10, 5)) * sd).uneven for _ in range(300)]) > 0.95


def test_spread_is_unbiased_in_the_square() -> None:
    rng = np.random.default_rng(2)
    sd = np.array([1.0, 1.0, 2.0, 3.0])
    found = np.array([spread_of(rng.standard_normal((4, 40)) * sd[:, None] + 5).sd for _ in range(500)])
    np.testing.assert_allclose((found**2).mean(0), sd**2, rtol=0.05)


def test_seed_effects_do_not_count() -> None:
    values = np.random.default_rng(3).standard_normal((4, 6))
    one, two = spread_of(values), spread_of(values + 100 * np.arange(6))
    np.testing.assert_allclose(one.sd, two.sd, atol=1e-9)
    assert one.p == two.p
