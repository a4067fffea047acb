"""Crossed bootstrap against its known variance, and ranks."""

from __future__ import annotations

import numpy as np
import pytest

from alignlab.compare.bootstrap import crossed, rank_intervals
from alignlab.errors import ConfigError, DataError


def test_crossed_interval_has_the_variance_of_both_factors() -> None:
    """Var of the mean = Var(seed means)/S + Var(prompt means)/P + what is left of each, for plug-in variances."""
    rng = np.random.default_rng(0)
    d = rng.normal(size=(20, 1)) + 0.8 * rng.normal(size=(1, 100)) + 0.1 * rng.normal(size=(20, 100))
    found = crossed(d, draws=20_000)
    left = d - d.mean(1, keepdims=True) - d.mean(0) + d.mean()
    sd = np.sqrt(d.mean(1).var() / 20 + d.mean(0).var() / 100 + left.var() / d.size)
    assert found.value == pytest.approx(d.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * sd, rel=0.03)


def test_prompts_alone_would_miss_the_seeds() -> None:
    d = np.linspace(-1, 1, 12)[:, None] + 0.01 * np.random.default_rng(0).normal(size=(12, 500))
    found = crossed(d)
    prompts_only = 2 * 1.96 * d.mean(0).std() / 500**0.5
    assert found.high - found.low > 20 * prompts_only


def test_bootstrap_is_reproducible_and_moves_with_its_seed() -> None:
    d = np.random.default_rng(0).normal(size=(10, 30))
    assert crossed(d, seed=1) == crossed(d, seed=1)
    assert crossed(d, seed=1) != crossed(d, seed=2)


def test_a_seed_with_a_missing_prompt_is_left_out() -> None:
    d = np.random.default_rng(0).normal(size=(5, 30))
    d[2, 4] = np.nan
    found = crossed(d)
    assert (found.n, found.missing) == (4, 1)
    assert found.value == pytest.approx(np.delete(d, 2, 0).mean())
    assert any("too narrow" in note for note in found.notes)


def test_one_seed_has_no_interval() -> None:
    assert crossed(np.ones((1, 9))).low is None


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(ConfigError, match="100 bootstrap draws are too few"):
        crossed(np.ones((3, 3)), draws=100)


def test_nothing_complete_is_an_error() -> None:
    with pytest.raises(DataError, match="none of 2 seeds has a value for every prompt"):
        crossed(np.full((2, 3), np.nan))


def test_clear_ranks_are_certain_and_close_ones_are_not() -> None:
    up = np.tile([0.0, 1.0], 4)
    scores = np.stack([up - 9, up, 1.01 - up])
    found = {each.method: each for each in rank_intervals(scores, ("low", "x", "y"))}
    assert (found["low"].rank, found["low"].low, found["low"].high, found["low"].first) == (3, 3, 3, 0)
    assert (found["x"].low, found["x"].high) == (found["y"].low, found["y"].high) == (1, 2)
    assert found["x"].first + found["y"].first == pytest.approx(1)


def test_equal_methods_share_their_rank() -> None:
    scores = np.random.default_rng(0).normal(size=(1, 5, 20)).repeat(2, axis=0)
    for each in rank_intervals(scores, ("a", "b")):
        assert (each.rank, each.low, each.high, each.first) == (1.5, 1.5, 1.5, 1.0)


def test_prompts_widen_ranks_of_one_seed() -> None:
    scores = np.random.default_rng(1).normal(size=(3, 1, 40))
    assert all(each.low == each.high for each in rank_intervals(scores.mean(2), "abc"))
    assert any(each.low < each.high for each in rank_intervals(scores, "abc"))


def test_ranks_need_a_full_table() -> None:
    with pytest.raises(DataError, match="every method at every seed"):
        rank_intervals([[1.0, np.nan]], ("a",))
