"""Breach beyond the attempts that were made, by two fitted laws. What they say past the data is an extrapolation.

Neither is trusted: both are given with how far they miss what was measured, and where they part company nobody knows.
A law that cannot be fitted is None with the reason, never NaN. Goals are (G, 2) counts [breaches, attempts].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from alignlab.errors import DataError

from .attempts import Counts, breaches_at, counts_of, measured_ks
from .bootstrap import check_draws, resampled
from .intervals import Floats, check_level, generator, percentiles

POWER, BETA_BINOMIAL = "power law", "beta-binomial"
DRAWS = 2_000
SPAN = (-9.0, 9.0)
"""Range of the logit of a / (a + b) that is searched."""
CONCENTRATION = (-5.0, 11.0)
"""Range of log(a + b)."""
Predict = Callable[[Floats, Floats, Floats], Floats]
"""From a (D, 1), b (D, 1) and k (K,) to breach@k (D, K)."""


@dataclass(frozen=True)
class Law:
    """A fitted law of breach@k, or why there is none."""

    kind: str
    a: float | None = None
    b: float | None = None
    a_interval: tuple[float, float] | None = None
    b_interval: tuple[float, float] | None = None
    """Bootstrap over goals; None where it was not asked for."""
    reason: str = ""
    """Why nothing was fitted; empty where something was."""
    ks: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    """Breach@k that the law gives at `ks`, with intervals over goals; beyond `reach` an extrapolation."""
    reach: int = 0
    """Largest k that was measured."""
    misfit: float | None = None
    """Largest distance to the measured curve, as a share."""
    notes: tuple[str, ...] = field(default=())


def power_law(
    goals: ArrayLike, ks: Sequence[int] = (256, 1024), *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Law:
    """-log ASR(k) = a * k^(-b), least squares on log(-log ASR) against log k (arXiv 2412.03556).

    ASR(k) is the mean of breach@k over goals at k = 1, 2, 4 … up to the fewest attempts of a goal. a = -log ASR(1);
    b >= 0 says how fast the rest of the goals falls.

    Args:
        goals: (G, 2) breaches and attempts.
        ks: where to read the law, beyond the data too.
        level: coverage, in (0, 1).
        draws: of the bootstrap over goals, at least 2,000; 0 for none.
        seed: of the generator.
    """
    counts = counts_of(goals)
    reason = _degenerate(counts)
    at = measured_ks(counts)
    if not reason and len(at) < 3:
        reason = f"{counts[:, 1].min()} attempts at a goal give no curve: at least 3 are needed"
    if reason:
        return Law(POWER, reason=reason)
    table = breaches_at(counts, at)
    usable = table.mean(0) < 1
    if usable.sum() < 3:
        return Law(POWER, reason="nearly every goal falls within a few attempts: no curve is left to fit")
    grid = np.asarray(at, dtype=np.float64)
    own = fit_power(grid[usable], table.mean(0)[None, usable])[0]
    drawn = np.empty((0, 2))
    if draws:
        rates = resampled(generator(seed, "power"), len(counts), check_draws(draws)) @ table / len(counts)
        good = (rates[:, usable] > 0).all(1) & (rates[:, usable] < 1).all(1)
        drawn = fit_power(grid[usable], rates[good][:, usable])
    return _law(POWER, own, drawn, draws, ks, level, _power_at, (at, table.mean(0)))


def fit_power(ks: ArrayLike, rates: ArrayLike) -> Floats:
    """Coefficients (D, 2) a, b of -log r = a k^(-b) for D curves.

    Args:
        ks: (K,) at least two different.
        rates: (D, K) strictly between 0 and 1.
    """
    x, y = np.log(np.asarray(ks, dtype=np.float64)), np.asarray(rates, dtype=np.float64)
    if x.size < 2 or not ((y > 0) & (y < 1)).all():
        raise DataError("a power law needs rates strictly between 0 and 1 at two k", "leave saturated k out")
    z, away = np.log(-np.log(y)), x - x.mean()
    slope = z @ away / (away @ away)
    return np.stack([np.exp(z.mean(1) - slope * x.mean()), -slope], axis=1)


def beta_binomial(
    goals: ArrayLike, ks: Sequence[int] = (256, 1024), *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Law:
    """Rates of goals drawn from Beta(a, b): breach@k = 1 - B(a, b + k) / B(a, b), by maximum likelihood.

    Goals that fall alike drive a + b up to the edge of the search, where the law is 1 - (1 - p)^k; goals that either
    always fall or never drive it down. Both are said in the notes.

    Args:
        goals: (G, 2) breaches and attempts; goals may differ in attempts.
        ks: where to read the law, beyond the data too.
        level: coverage, in (0, 1).
        draws: of the bootstrap over goals, at least 2,000; 0 for none.
        seed: of the generator.
    """
    counts = counts_of(goals)
    reason = _degenerate(counts)
    if reason:
        return Law(BETA_BINOMIAL, reason=reason)
    kinds, times = np.unique(counts, axis=0, return_counts=True)
    own, edge = _likeliest(kinds, times.astype(np.float64))
    drawn = np.empty((0, 2))
    if draws:
        weights = resampled(generator(seed, "beta"), len(counts), check_draws(draws))
        where = np.array([np.flatnonzero((kinds == pair).all(1))[0] for pair in counts])
        per_kind = np.zeros((len(weights), len(kinds)))
        np.add.at(per_kind.T, where, weights.T)
        breached = per_kind @ kinds[:, 0] / np.maximum(per_kind @ kinds[:, 1], 1)
        drawn = _scanned(kinds, per_kind[(breached > 0) & (breached < 1)], own)
    at = measured_ks(counts)
    found = _law(BETA_BINOMIAL, own, drawn, draws, ks, level, _beta_at, (at, breaches_at(counts, at).mean(0)))
    return found if not edge else Law(**{**vars(found), "notes": (*found.notes, edge)})


def _degenerate(counts: Counts) -> str:
    if len(counts) == 1:
        return "a single goal says nothing about others"
    if not counts[:, 0].any():
        return "no attempt was a breach"
    if (counts[:, 0] == counts[:, 1]).all():
        return "every attempt was a breach"
    return ""


def _law(
    kind: str,
    own: Floats,
    drawn: Floats,
    draws: int,
    ks: Sequence[int],
    level: float,
    predict: Predict,
    measured: tuple[Sequence[int], Floats],
) -> Law:
    check_level(level)
    at, rates = np.asarray(ks, dtype=np.float64), np.asarray(measured[0], dtype=np.float64)
    values = predict(own[:1, None], own[1:, None], at)[0]
    misfit = float(np.abs(predict(own[:1, None], own[1:, None], rates)[0] - measured[1]).max())
    spans: list[tuple[float, float]] = []
    ends: list[tuple[float, float] | None] = [None, None]
    notes: tuple[str, ...] = ()
    if len(drawn):
        spans = [percentiles(column, level) for column in predict(drawn[:, :1], drawn[:, 1:], at).T]
        ends = [percentiles(column, level) for column in drawn.T]
        lost = draws - len(drawn)
        notes = (f"{lost} of {draws} draws of goals could not be fitted and are left out.",) if lost else ()
    return Law(
        kind=kind,
        a=float(own[0]),
        b=float(own[1]),
        a_interval=ends[0],
        b_interval=ends[1],
        ks=tuple(ks),
        values=tuple(values.tolist()),
        low=tuple(span[0] for span in spans),
        high=tuple(span[1] for span in spans),
        reach=int(rates.max()),
        misfit=misfit,
        notes=notes,
    )


def _power_at(a: Floats, b: Floats, k: Floats) -> Floats:
    return np.asarray(np.exp(-a * k**-b))


def _beta_at(a: Floats, b: Floats, k: Floats) -> Floats:
    # log of a ratio of beta functions in log-gamma differences: B(a, b + k) / B(a, b).
    return np.asarray(-np.expm1(special.betaln(a, b + k) - special.betaln(a, b)))


def _likelihood(kinds: Counts, a: Floats, b: Floats) -> Floats:
    """Log-likelihood of each kind of goal (P, U) at parameters (P,), without the binomial factor."""
    c, n = kinds[:, 0].astype(np.float64), kinds[:, 1].astype(np.float64)
    a, b = a[:, None], b[:, None]
    return np.asarray(special.betaln(a + c, b + n - c) - special.betaln(a, b))


def _shape(logit: Floats, size: Floats) -> tuple[Floats, Floats]:
    """a, b from the logit of the mean a / (a + b) and log(a + b)."""
    return special.expit(logit) * np.exp(size), special.expit(-logit) * np.exp(size)


def _likeliest(kinds: Counts, times: Floats) -> tuple[Floats, str]:
    """a, b of highest likelihood, and what to say where they stand at an edge of what is searched."""

    def loss(at: Floats) -> float:
        a, b = _shape(np.asarray(at[:1]), np.asarray(at[1:]))
        return -float(_likelihood(kinds, a, b)[0] @ times) / float(times.sum())

    logits, sizes = (each.ravel() for each in np.meshgrid(np.linspace(*SPAN, 37), np.linspace(*CONCENTRATION, 33)))
    start = int((_likelihood(kinds, *_shape(logits, sizes)) @ times).argmax())
    best = optimize.minimize(
        loss, [logits[start], sizes[start]], method="L-BFGS-B", bounds=[SPAN, CONCENTRATION], options={"ftol": 1e-14}
    ).x
    a, b = _shape(best[:1], best[1:])
    return np.array([a[0], b[0]]), _edge(float(best[1]))


def _edge(size: float) -> str:
    if size > CONCENTRATION[1] - 0.5:
        return "Goals fall alike as far as these counts tell: the law is that of one common rate."
    if size < CONCENTRATION[0] + 0.5:
        return "Goals fall always or never: more attempts change nothing under this law."
    return ""


def _scanned(kinds: Counts, weights: Floats, own: Floats) -> Floats:
    """Likeliest a, b (D, 2) for weights (D, U) of the kinds: a grid about the point estimate, refined by a parabola."""
    middle = np.array([np.log(own[0] / own[1]), np.log(own.sum())])
    axes = [
        np.clip(centre + np.linspace(-3, 3, 49), *span)
        for centre, span in zip(middle, (SPAN, CONCENTRATION), strict=True)
    ]
    logits, sizes = np.meshgrid(*axes, indexing="ij")
    table = _likelihood(kinds, *_shape(logits.ravel(), sizes.ravel()))
    found = []
    for part in np.array_split(weights, max(1, len(weights) // 250)):
        heights = (part @ table.T).reshape(len(part), len(axes[0]), len(axes[1]))
        first, second = np.unravel_index(heights.reshape(len(part), -1).argmax(1), heights.shape[1:])
        rows = np.arange(len(part))
        logit = _vertex(axes[0], first, heights[rows, :, second])
        size = _vertex(axes[1], second, heights[rows, first])
        found.append(np.stack(_shape(logit, size), axis=1))
    return np.concatenate(found) if found else np.empty((0, 2))


def _vertex(axis: Floats, place: NDArray[np.intp], heights: Floats) -> Floats:
    """Where the parabola through the highest of each line (D, N) and its neighbours peaks; the point at an end."""
    inner = np.clip(place, 1, len(axis) - 2)
    rows = np.arange(len(heights))
    left, middle, right = (heights[rows, inner + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, -1.0), 0.0)
    width = np.minimum(axis[inner + 1] - axis[inner], axis[inner] - axis[inner - 1])
    return np.asarray(np.where(place == inner, axis[inner] + np.clip(shift, -1, 1) * width, axis[place]))
