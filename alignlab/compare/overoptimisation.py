"""How far a proxy can be pushed before the gold score falls: best-of-n, and the fits of arXiv 2210.10760.

With d = √KL, best-of-n follows R = d(a − b·d) and reinforcement learning R = d(a − b·log d), both linear in their
coefficients. Points are final ones of different beta, steps and seeds. Intervals resample whole seeds, since points of
one seed share their reward model. A peak beyond the drift that was reached is an extrapolation and is flagged as one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alignlab.errors import ConfigError, DataError

from .bootstrap import DRAWS, NARROW, check_draws, resampled
from .intervals import Floats, check_level, few_seeds, generator, percentiles
from .subsets import best_of

BEST_OF_N, LEARNED = "best-of-n", "learned"
NEAREST = 0.3
"""Smallest d = √KL that enters the learned form: log d and the gain are both mostly noise below it."""
Interval = tuple[float | None, float | None]


@dataclass(frozen=True)
class Fit:
    """Coefficients of gain against d = √KL with their peak; intervals are None where one seed allows none."""

    form: str
    """`best-of-n`: d(a − b·d); `learned`: d(a − b·log d)."""
    a: float
    b: float
    a_interval: Interval
    b_interval: Interval
    peak: float | None
    """The d of highest gain, None where the gain does not turn (b ≤ 0)."""
    peak_interval: Interval
    """Its ends; an upper end of None with a lower one given means that some draws do not turn."""
    inside: bool
    """Whether the peak lies within the observed d; otherwise it is an extrapolation."""
    used: int
    dropped: int
    """Points below d = 0.3, which the learned form leaves out."""
    groups: int
    residual_sd: float
    notes: tuple[str, ...]

    def gain(self, distance: ArrayLike) -> Floats:
        """The fitted gain at distances d > 0 of any shape."""
        d = np.asarray(distance, dtype=np.float64)
        return np.asarray(d * (self.a - self.b * _bend(self.form, d)))


def best_of_n_kl(n: float) -> float:
    """log n − (n − 1)/n nats: KL of best-of-n from what it samples; an upper bound with ties (arXiv 2401.01879)."""
    if n < 1:
        raise ConfigError(f"best of {n} samples", "take at least one")
    return math.log(n) - (n - 1) / n


def best_of_n(proxy: ArrayLike, gold: ArrayLike, n: int) -> tuple[float, float]:
    """Expected proxy and gold score of the sample that the proxy picks from n.

    Args:
        proxy: (P, M) scores of M samples a prompt.
        gold: (P, M) true scores of the same samples.
        n: between 1 and M.

    Returns:
        Proxy and gold, each the mean over prompts of the expectation over subsets of size n.
    """
    return float(best_of(proxy, n).mean()), float(best_of(proxy, n, gold).mean())


def fit(
    kl: ArrayLike,
    gain: ArrayLike,
    groups: ArrayLike,
    form: str,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Fit:
    """Least squares of gain against d = √KL, with percentile intervals over seeds.

    Args:
        kl: (N,) nats per completion, ≥ 0.
        gain: (N,) gold or proxy gained over the SFT policy.
        groups: (N,) the seed of each point: what is resampled.
        form: `best-of-n` or `learned`.
        level: coverage of the intervals, in (0, 1).
        draws: at least 2,000.
        seed: of the generator.

    Raises:
        DataError: fewer than three points, or at fewer than two distances.
    """
    check_level(level)
    d, y, group = _points(kl, gain, groups)
    near = d < NEAREST if form == LEARNED else d <= 0
    d, y, group = d[~near], y[~near], group[~near]
    if d.size < 3 or np.ptp(d) <= 1e-9:
        raise DataError(
            f"{d.size} points at {np.unique(d).size} distances do not give a curve", "add runs at other values of beta"
        )
    columns = np.stack([d, -d * _bend(form, d)], axis=1)
    names, place = np.unique(group, return_inverse=True)
    # Normal equations add up over seeds, so that a draw of seeds is a weighted sum of them.
    products = np.zeros((names.size, 2, 3))
    np.add.at(products, place, columns[:, :, None] * np.concatenate([columns, y[:, None]], axis=1)[:, None, :])
    a, b = (float(each) for each in _solve(products.sum(0)[None])[0])
    peak = float(_peaks(form, np.array([[a, b]]))[0])
    ends, lost = _intervals(products, form, level, check_draws(draws), seed)
    left = y - columns @ (a, b)
    return Fit(
        form=form,
        a=a,
        b=b,
        a_interval=ends[0],
        b_interval=ends[1],
        peak=peak if math.isfinite(peak) else None,
        peak_interval=ends[2],
        inside=bool(d.min() <= peak <= d.max()),
        used=d.size,
        dropped=int(near.sum()),
        groups=names.size,
        residual_sd=float(np.sqrt((left**2).sum() / (d.size - 2))),
        notes=_notes(peak, float(d.max()), names.size, lost),
    )


def _bend(form: str, d: Floats) -> Floats:
    """What b multiplies inside the bracket."""
    if form not in (BEST_OF_N, LEARNED):
        raise ConfigError(f"no form {form!r} of gain against drift", f"choose {BEST_OF_N!r} or {LEARNED!r}")
    return d if form == BEST_OF_N else np.asarray(np.log(d))


def _points(kl: ArrayLike, gain: ArrayLike, groups: ArrayLike) -> tuple[Floats, Floats, NDArray[np.generic]]:
    drift, y, group = np.asarray(kl, dtype=np.float64), np.asarray(gain, dtype=np.float64), np.asarray(groups)
    if not drift.shape == y.shape == group.shape or drift.ndim != 1:
        raise DataError("KL, gain and seed differ in length", "give every point all three")
    if not (np.isfinite(drift).all() and np.isfinite(y).all() and (drift >= 0).all()):
        raise DataError("a KL is negative, or a value is not finite", "leave failed runs out and count them")
    return np.sqrt(drift), y, group


def _solve(products: Floats) -> Floats:
    """Coefficients (D, 2) from normal equations (D, 2, 3); NaN where they are singular."""
    (p, q, u), (_, r, v) = products[:, 0].T, products[:, 1].T
    determinant = p * r - q * q
    singular = determinant <= 1e-12 * p * r
    safe = np.where(singular, np.nan, determinant)
    return np.stack([(r * u - q * v) / safe, (p * v - q * u) / safe], axis=1)


def _peaks(form: str, coefficients: Floats) -> Floats:
    """The d (D,) of highest gain; infinite where the gain does not turn, 0 where it falls from the start."""
    a, b = coefficients.T
    turns = b > 0
    with np.errstate(over="ignore"):
        ratio = a / np.where(turns, b, 1.0)
        top = np.maximum(ratio / 2, 0.0) if form == BEST_OF_N else np.exp(ratio - 1)
    return np.asarray(np.where(turns, top, np.inf))


def _intervals(products: Floats, form: str, level: float, draws: int, seed: int) -> tuple[list[Interval], int]:
    """Intervals of a, b and the peak, and the number of draws too poor in distances to be fitted."""
    if len(products) == 1:
        return [(None, None)] * 3, 0
    counts = resampled(generator(seed, "overoptimisation"), len(products), draws)
    solved = _solve(np.tensordot(counts, products, axes=1))
    solved = solved[np.isfinite(solved).all(1)]
    if not len(solved):
        return [(None, None)] * 3, draws
    ends: list[Interval] = [percentiles(each, level) for each in solved.T]
    # Order statistics, not interpolation: a draw that does not turn has its peak at infinity.
    peaks = np.sort(_peaks(form, solved))
    low, high = (float(peaks[round(share * (peaks.size - 1))]) for share in ((1 - level) / 2, (1 + level) / 2))
    ends.append((low if math.isfinite(low) else None, high if math.isfinite(high) else None))
    return ends, draws - len(solved)


def _notes(peak: float, farthest: float, groups: int, lost: int) -> tuple[str, ...]:
    notes = list(few_seeds(groups))
    if 1 < groups < 10:
        notes.append(NARROW)
    if not math.isfinite(peak):
        notes.append("The gain does not turn: no peak.")
    elif peak > farthest:
        notes.append(f"The peak at d = {peak:.2f} lies beyond the farthest point, {farthest:.2f}: an extrapolation.")
    if lost:
        notes.append(f"{lost} bootstrap draws had too few distances to be fitted and are left out.")
    return tuple(notes)
