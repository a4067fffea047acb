"""Uniform noise: exact reference values, uniformity, independence; sampling: exact boundaries."""

from __future__ import annotations

import math

import pytest
import torch

from alignlab.numerics.noise import Noise, _absorb, inverse_cdf, uniforms

MASK = (1 << 64) - 1
ROWS = torch.arange(2000)


def reference(seed: int, row: int, position: int) -> float:
    """The same definition in Python's unbounded integers."""

    def absorb(state: int, counter: int) -> int:
        z = (state + (counter + 1) * 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    word = absorb(absorb(absorb(seed & MASK, 0), row & MASK), position)
    return ((word >> 12) + 0.5) / 2**52


def test_one_absorption_is_published_splitmix64():
    """splitmix64 seeded with 0 starts with 0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4 (Vigna's reference code)."""
    words = _absorb(torch.zeros(2, dtype=torch.long), torch.arange(2))
    assert [word & MASK for word in words.tolist()] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, 2**63, 2**64 + 5, -1, 123456789])
@pytest.mark.parametrize("position", [0, 1, 511])
def test_bits_equal_integer_arithmetic(seed, position):
    rows = torch.tensor([0, 1, 7, 2**31, 2**62 + 3, -1])
    expected = [reference(seed, row, position) for row in rows.tolist()]
    assert uniforms(seed, rows, position).tolist() == expected


def test_broadcast_positions_equal_single_ones():
    noise = Noise(3, ROWS[:50])
    grid = noise.uniform(torch.arange(6)[:, None])
    assert grid.shape == (6, 50)
    assert all(torch.equal(grid[t], noise.uniform(t)) for t in range(6))


def test_rows_do_not_depend_on_their_company():
    index = torch.randperm(2000, generator=torch.Generator().manual_seed(0))[:77]
    assert torch.equal(uniforms(5, ROWS[index], 4), uniforms(5, ROWS, 4)[index])


def test_open_interval_even_at_the_extreme_words():
    largest = (torch.tensor(2**52 - 1).double() + 0.5) * 2.0**-52
    smallest = (torch.tensor(0).double() + 0.5) * 2.0**-52
    assert 0 < smallest < largest < 1
    u = uniforms(0, torch.arange(200_000), 0)
    assert 0 < u.min() < 1e-4 < 1 - 1e-4 < u.max() < 1


@pytest.mark.parametrize("axis", ["rows", "positions", "seeds"])
def test_uniform_along_every_counter(axis):
    n = 100_000
    if axis == "rows":
        u = uniforms(11, torch.arange(n), 3)
    elif axis == "positions":
        u = uniforms(11, torch.zeros(n, dtype=torch.long), torch.arange(n))
    else:
        u = torch.cat([uniforms(seed, torch.tensor([4]), 3) for seed in range(5000)])
    n = len(u)
    assert abs(u.mean() - 0.5) < 5 * math.sqrt(1 / 12 / n)
    assert abs(u.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / n)
    ordered = u.sort().values
    ranks = torch.arange(n, dtype=torch.float64)
    distance = torch.maximum(ordered - ranks / n, (ranks + 1) / n - ordered).max()
    assert distance < 1.95 / math.sqrt(n)  # Kolmogorov-Smirnov, p = 0.001


@pytest.mark.parametrize("shift", ["row", "position", "seed", "row-and-position"])
def test_adjacent_counters_are_independent(shift):
    """Correlation and a chi-square over an 8 x 8 grid of (u, u at the next counter)."""
    n = 64_000
    rows = torch.arange(n)
    first = uniforms(2, rows, 5)
    second = {
        "row": lambda: uniforms(2, rows + 1, 5),
        "position": lambda: uniforms(2, rows, 6),
        "seed": lambda: uniforms(3, rows, 5),
        "row-and-position": lambda: uniforms(2, rows + 1, 4),
    }[shift]()
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 5 / math.sqrt(n)
    counts = torch.bincount((first * 8).long() * 8 + (second * 8).long(), minlength=64).double()
    assert ((counts - n / 64) ** 2 / (n / 64)).sum() < 111.1  # chi-square, 63 degrees, p = 0.0002


def test_no_two_counters_collide():
    u = uniforms(9, torch.arange(1000), torch.arange(200)[:, None])
    assert u.unique().numel() == u.numel()


def test_row_seeds_are_distinct_and_not_negative():
    seeds = Noise(1, ROWS).seeds()
    assert seeds.unique().numel() == len(ROWS)
    assert seeds.min() >= 0
    assert not torch.equal(seeds, Noise(2, ROWS).seeds())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_same_bits_on_gpu():
    positions = torch.arange(64)[:, None]
    assert torch.equal(uniforms(7, ROWS.cuda(), positions.cuda()).cpu(), uniforms(7, ROWS, positions))


def test_inverse_cdf_steps():
    weights = torch.tensor([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]]).expand(6, -1)
    u = torch.tensor([2.0**-53, 0.25 - 1e-12, 0.25, 0.75 - 1e-12, 0.75, 1 - 2.0**-53], dtype=torch.float64)
    assert inverse_cdf(weights, u).tolist() == [1, 1, 3, 3, 4, 4]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inverse_cdf_never_picks_weight_zero(dtype):
    """Weights whose float64 total is not a power of two, u at both ends, zeros on both sides."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(4000, 37, generator=generator, dtype=dtype)
    weights = weights * (torch.rand(4000, 37, generator=generator) < 0.3)
    weights[:, 18] += 1e-3
    weights[:, 30:] = 0
    for u in (2.0**-53, 0.5, 1 - 2.0**-53):
        ids = inverse_cdf(weights, torch.full((4000,), u, dtype=torch.float64))
        assert (weights.gather(1, ids[:, None]) > 0).all()


def test_largest_u_stays_below_every_total():
    """Totals of every mantissa pattern near both ends of a binade, and random ones."""
    ulp, largest = 2.0**-52, 1 - 2.0**-53
    patterns = [1 + k * ulp for k in range(50)] + [2 - k * ulp for k in range(1, 50)]
    total = torch.tensor(patterns, dtype=torch.float64)
    total = torch.cat([total, torch.rand(100_000, generator=torch.Generator().manual_seed(0)).double() + 1e-3])
    weights = torch.stack([total, torch.zeros_like(total)], -1)
    assert (inverse_cdf(weights, torch.full_like(total, largest)) == 0).all()


def test_inverse_cdf_scale_does_not_matter():
    weights = torch.rand(500, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u = uniforms(0, torch.arange(500), 0)
    assert torch.equal(inverse_cdf(weights, u), inverse_cdf(weights * 8, u))


def test_inverse_cdf_frequencies():
    weights = torch.tensor([0.5, 0.2, 0.0, 0.3], dtype=torch.float64)
    n = 40_000
    ids = inverse_cdf(weights.expand(n, -1), uniforms(1, torch.arange(n), 0))
    counts = torch.bincount(ids, minlength=4).double()
    assert counts[2] == 0
    expected = weights[[0, 1, 3]] * n
    assert ((counts[[0, 1, 3]] - expected) ** 2 / expected).sum() < 17.0  # 2 degrees, p = 0.0002


def test_inverse_cdf_row_that_is_not_finite_stays_in_range():
    weights = torch.tensor([[0.5, math.nan, 0.5]])
    assert 0 <= inverse_cdf(weights, torch.tensor([0.4], dtype=torch.float64)).item() <= 2
