"""Quantiles of simultaneous tests against SciPy and Dunnett's tables."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from alignlab.compare.quantiles import dunnett_cdf, dunnett_p, dunnett_quantile, range_cdf, range_p, range_quantile

# Dunnett (1964), Biometrics 20, Table II: two-sided, for 1 to 9 comparisons with a control.
DUNNETT_95 = {
    5: (2.57, 3.03, 3.29, 3.48, 3.62, 3.73, 3.82, 3.90, 3.97),
    10: (2.23, 2.57, 2.76, 2.89, 2.99, 3.07, 3.14, 3.19, 3.24),
    20: (2.09, 2.38, 2.54, 2.65, 2.73, 2.80, 2.86, 2.90, 2.95),
    np.inf: (1.96, 2.21, 2.35, 2.44, 2.51, 2.57, 2.61, 2.65, 2.69),
}


@pytest.mark.parametrize(("k", "df"), [(2, 2), (3, 4), (10, 18), (10, 63), (60, 118)])
def test_studentised_range_matches_scipy(k: int, df: int) -> None:
    q = range_quantile(0.95, k, df)
    assert q == pytest.approx(float(stats.studentized_range.ppf(0.95, k, df)), abs=1e-4)
    points = np.array([0.5, 0.8, 1.0, 1.5]) * q
    expected = stats.studentized_range.sf(points, k, df)
    np.testing.assert_allclose(1 - range_cdf(points, k, df), expected, atol=1e-6)
    np.testing.assert_allclose(range_p(points, k, df), expected, atol=2e-5)


def test_range_of_two_is_the_t_test() -> None:
    assert range_quantile(0.95, 2, 7) == pytest.approx(2**0.5 * stats.t.ppf(0.975, 7), abs=1e-8)


@pytest.mark.parametrize("df", DUNNETT_95)
def test_dunnett_matches_the_published_table(df: float) -> None:
    found = [dunnett_quantile(0.95, k, df) for k in range(1, 10)]
    np.testing.assert_allclose(found, DUNNETT_95[df], atol=0.0055)


def test_dunnett_matches_scipy_on_a_one_way_layout() -> None:
    rng = np.random.default_rng(1)
    control, *groups = rng.normal(size=(4, 6))
    error = np.sqrt(np.mean([np.var(each, ddof=1) for each in (control, *groups)]) * 2 / 6)
    t = np.array([abs(each.mean() - control.mean()) for each in groups]) / error
    test = stats.dunnett(*groups, control=control, random_state=np.random.default_rng(0))
    np.testing.assert_allclose(1 - dunnett_cdf(t, 3, 20), test.pvalue, atol=2e-3)
    np.testing.assert_allclose(dunnett_p(t, 3, 20), 1 - dunnett_cdf(t, 3, 20), atol=1e-5)


def test_one_comparison_is_the_t_test() -> None:
    assert dunnett_quantile(0.9, 1, 4) == pytest.approx(stats.t.ppf(0.95, 4), abs=1e-8)
