"""Methods compared at equal drift: gain at a matched KL, area under the frontier, the Pareto set.

A frontier is what one method reaches at one seed under several settings, mostly values of beta: points (KL, gain over
the SFT policy). Between its points gain is read linearly in d = √KL, the axis on which it bends least; beyond them it
is not read at all. Points along one run are no frontier: they are autocorrelated and end where luck stopped them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from alignlab.errors import DataError

from .intervals import Floats

Points = tuple[ArrayLike, ArrayLike]
"""KL in nats, at least 0, and gain: two arrays of one length, in any order."""


def _sorted(kl: ArrayLike, gain: ArrayLike) -> tuple[Floats, Floats]:
    """Distances √KL, rising, and gains; points of equal KL are averaged."""
    drift, gained = (np.asarray(each, dtype=np.float64).ravel() for each in (kl, gain))
    if not drift.size or drift.shape != gained.shape:
        raise DataError(f"a frontier of {drift.size} KL and {gained.size} gains", "give every point both")
    if not (np.isfinite(drift).all() and np.isfinite(gained).all()):
        raise DataError("a frontier point is not finite", "leave failed runs out and count them")
    if drift.min() < 0:
        raise DataError(
            f"a KL of {drift.min():g} is negative",
            "use the estimate from next-token distributions, or 0 within its error",
        )
    distance, place = np.unique(np.sqrt(drift), return_inverse=True)
    return distance, np.bincount(place, gained) / np.bincount(place)


def gain_at(kl: ArrayLike, gain: ArrayLike, at: float) -> float | None:
    """Gain of one frontier at a KL, None where the frontier does not reach it.

    Args:
        kl: (n,) nats per completion, ≥ 0; the SFT policy is the point (0, 0) where the caller gives it.
        gain: (n,) gain over the SFT policy.
        at: the KL to read at.
    """
    distance, gained = _sorted(kl, gain)
    target = max(at, 0.0) ** 0.5
    slack = 1e-12 * max(1.0, float(distance[-1]))
    if at < 0 or not distance[0] - slack <= target <= distance[-1] + slack:
        return None
    return float(np.interp(target, distance, gained))


def common_range(frontiers: Sequence[Points]) -> tuple[float, float] | None:
    """The range of KL that all frontiers cover, None where they share none."""
    spans = [_sorted(*each)[0] for each in frontiers]
    if not spans:
        raise DataError("no frontiers to compare", "give at least one")
    low, high = max(each[0] for each in spans) ** 2, min(each[-1] for each in spans) ** 2
    return (float(low), float(high)) if low <= high else None


def matched(
    frontiers: Mapping[str, Mapping[int, Points]], at: float
) -> tuple[tuple[str, ...], tuple[int, ...], Floats]:
    """Gains of every method and seed at one KL, as a table that `blocks.all_pairs` reads.

    Args:
        frontiers: by method, by seed.
        at: the KL in nats.

    Returns:
        Methods, seeds, and (K, S) gains, NaN where a run is missing or its frontier does not reach the KL.
    """
    methods = tuple(frontiers)
    seeds = tuple(sorted({seed for each in frontiers.values() for seed in each}))
    table = np.full((len(methods), len(seeds)), np.nan)
    for row, method in enumerate(methods):
        for column, seed in enumerate(seeds):
            read = gain_at(*frontiers[method][seed], at) if seed in frontiers[method] else None
            table[row, column] = np.nan if read is None else read
    return methods, seeds, table


def area_under(kl: ArrayLike, gain: ArrayLike, up_to: float) -> float | None:
    """Mean gain along d = √KL from the SFT policy up to a common drift, None where the frontier ends before.

    The SFT policy (0, 0) is on every frontier and is added. The area is divided by its width √up_to, so that it is in
    the unit of the gain and does not grow with the limit alone.

    Args:
        kl: (n,) nats per completion, ≥ 0.
        gain: (n,) gain over the SFT policy.
        up_to: the common drift as a KL, > 0.
    """
    if up_to <= 0:
        raise DataError(f"an area up to a KL of {up_to:g} is empty", "give a positive common drift")
    distance, gained = _sorted(kl, gain)
    inside = distance > 0
    distance, gained = np.r_[0.0, distance[inside]], np.r_[0.0, gained[inside]]
    end = up_to**0.5
    if end > distance[-1] * (1 + 1e-12):
        return None
    last = float(np.interp(end, distance, gained))
    within = distance < end
    x, y = np.r_[distance[within], end], np.r_[gained[within], last]
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum() / end)


def pareto(kl: ArrayLike, gain: ArrayLike) -> tuple[int, ...]:
    """Indices of points that no other beats: none has at most their KL and at least their gain and one of both better.

    Args:
        kl: (n,) nats.
        gain: (n,) gain over the SFT policy.

    Returns:
        By rising KL. Equal points stand or fall together.
    """
    drift, gained = (np.asarray(each, dtype=np.float64).ravel() for each in (kl, gain))
    if drift.shape != gained.shape or not (np.isfinite(drift).all() and np.isfinite(gained).all()):
        raise DataError("a point lacks its KL or its gain", "leave failed runs out and count them")
    no_worse = (drift[:, None] <= drift) & (gained[:, None] >= gained)
    better = (drift[:, None] < drift) | (gained[:, None] > gained)
    beaten = set(np.flatnonzero((no_worse & better).any(0)).tolist())
    order = np.lexsort((np.arange(drift.size), drift))
    return tuple(int(place) for place in order if int(place) not in beaten)
