"""Counter-based uniform noise and inverse-CDF sampling.

A sample is a pure function of (seed, row, position): it depends on neither batch composition, order, padding,
process nor on what was sampled before, and two policies given the same counters share their random numbers.
The hash is a chain of splitmix64 finalisers (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators", with the constants of Vigna's splitmix64) in wrapping 64-bit integer arithmetic, so that every
device yields the same bits. It is statistical noise, not cryptography.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def _signed(word: int) -> int:
    """A 64-bit word as the int64 with the same bits."""
    word &= 0xFFFF_FFFF_FFFF_FFFF
    return word - (1 << 64) if word >> 63 else word


_GOLDEN = _signed(0x9E37_79B9_7F4A_7C15)
_FIRST, _SECOND = _signed(0xBF58_476D_1CE4_E5B9), _signed(0x94D0_49BB_1331_11EB)
_BITS = 52  # k + 1/2 with k < 2**52 is exact in float64, which keeps both 0 and 1 out of reach


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Logical right shift: torch's own keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """The splitmix64 finaliser, a bijection of 64-bit words."""
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def _absorb(state: Tensor, counter: Tensor | int) -> Tensor:
    """Hash one more counter into the state; every step of a counter moves it by the golden ratio."""
    return _mix(state + (counter + 1) * _GOLDEN)


def _row_state(seed: int, rows: Tensor) -> Tensor:
    start = torch.full_like(rows, _signed(seed))
    return _absorb(_absorb(start, 0), rows)


def uniforms(seed: int, rows: Tensor, position: int | Tensor) -> Tensor:
    """Uniform numbers in the open interval (0, 1), float64, a pure function of the three counters.

    rows (...) long, position an int or a long tensor that broadcasts with it -> the broadcast shape. `seed`
    is taken modulo 2**64. The numbers are odd multiples of 2**-53.
    """
    if not isinstance(position, Tensor):
        position = torch.full_like(rows, position)
    word = _absorb(_row_state(seed, rows), position)
    return (_shifted(word, 64 - _BITS).double() + 0.5) * 2.0**-_BITS


class Noise(NamedTuple):
    """The random numbers of a batch: one endless sequence of uniforms for each row identity."""

    seed: int
    rows: Tensor
    """Identity of each row, (B,) long, any integers: the same identity yields the same numbers anywhere."""

    def uniform(self, position: int | Tensor) -> Tensor:
        """Uniforms in (0, 1) at a position of every row: (B,), or position (N, 1) -> (N, B). float64."""
        return uniforms(self.seed, self.rows, position)

    def seeds(self) -> Tensor:
        """One seed in [0, 2**63) for each row, (B,) long, for engines with a generator of their own."""
        return _shifted(_row_state(self.seed, self.rows), 1)


def inverse_cdf(probabilities: Tensor, u: Tensor) -> Tensor:
    """The id at which the cumulative distribution passes u: (B, V), (B,) in (0, 1) -> (B,) long.

    Weights need not sum to 1. Sums run in float64. An id of weight 0 is never picked: the first id whose
    cumulative sum exceeds u times the total has added something to it, and there is one, since u <= 1 - 2**-53
    makes that product round to less than the total. A row that is not finite yields some id in range; callers
    check what they gather with it.
    """
    cumulative = probabilities.to(torch.float64, copy=True).cumsum_(-1)  # in place: half the memory traffic
    target = (u * cumulative[:, -1]).unsqueeze(-1)
    ids = torch.searchsorted(cumulative, target, right=True).squeeze(-1)
    return ids.clamp_max(probabilities.shape[-1] - 1)
