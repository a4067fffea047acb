"""Win rates of paired replies, plain and controlled for length (arXiv 2404.04475).

The plain rate is (wins + ½ ties)/n. The controlled one asks what it would be at equal length: with x = tanh(Δ/sd(Δ))
for the difference Δ of lengths, P(win) = sigmoid(θ + φ·x) is fitted to every run and read at x = 0. Left out of the
paper is the difficulty of single prompts, which needs many models judged on the same prompts. A tie is half a win for
both, so that identical models give exactly ½ and the two directions of a pair add up to 1. A small ridge on φ keeps it
finite where length separates wins from losses. Seeds are the unit; one run has only the error of its prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from alignlab.errors import DataError, TrainingError

from .intervals import ONE_RUN, Estimate, Floats, check_level, clopper_pearson, mean_interval, names_of, proportion

Fits = tuple[Floats, Floats, NDArray[np.bool_]]
RIDGE = 0.1
"""Weight of ½φ² against a log-likelihood summed over prompts."""
ALIKE = 0.05
"""Smallest standard deviation of x over prompts at which length and quality can be told apart."""
CONFOUNDED = (
    "Lengths differ by nearly the same amount on every prompt: length cannot be told from quality, and the rate is the"
    " plain one."
)
ONE_SIDED = "Every judgement went one way: no judgement says what equal length would change."


def outcomes(first: ArrayLike, second: ArrayLike, tie: float = 0.0) -> Floats:
    """1 where the first score is higher, 0 where it is lower, ½ where they are within `tie`; NaN where one is missing.

    Args:
        first: scores of any shape.
        second: scores of the same shape, on the same prompts.
        tie: largest difference that counts as a tie, ≥ 0.
    """
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != two.shape:
        raise DataError(f"scores of shapes {one.shape} and {two.shape}", "score both on the same seeds and prompts")
    gap = one - two
    return np.asarray(np.where(np.isnan(gap), np.nan, np.where(np.abs(gap) <= tie, 0.5, gap > 0)))


def win_rate(won: ArrayLike, level: float = 0.95) -> Estimate:
    """Share of wins, ties counting half: t over seeds, or Wilson's interval for a single run.

    Where every judgement of every run goes one way, the interval is Clopper-Pearson's for the prompts of one run: seeds
    that agree completely do not make it narrower.

    Args:
        won: (S, P) or (P,) outcomes: 1, ½, 0, or any share in between such as a judge's probability; NaN is missing.
        level: coverage of the interval, in (0, 1).
    """
    table, missing = _runs(won)
    return _summary(np.nanmean(table, axis=1), table, missing, level)


def length_controlled(won: ArrayLike, length_difference: ArrayLike, level: float = 0.95) -> Estimate:
    """Win rate at equal length, fitted for each seed.

    Args:
        won: (S, P) or (P,) outcomes in [0, 1], NaN where missing.
        length_difference: same shape, length of the first reply minus that of the second, in one unit.
        level: coverage of the interval, in (0, 1).
    """
    judged, delta = (np.atleast_2d(np.asarray(each, dtype=np.float64)) for each in (won, length_difference))
    if judged.shape != delta.shape:
        raise DataError(f"outcomes {judged.shape} and lengths {delta.shape} differ in shape", "give both of all")
    table, missing = _runs(judged)
    return _controlled(table, _fit(table, delta[np.isfinite(judged).any(1)]), missing, level)


def _runs(won: ArrayLike) -> tuple[Floats, int]:
    """Outcomes (S, P) of the runs that have any, and the number of those that have none."""
    table = np.atleast_2d(np.asarray(won, dtype=np.float64))
    if table.ndim != 2 or not table.size:
        raise DataError(f"outcomes of shape {np.shape(won)} are not seeds × prompts", "judge at least one prompt")
    some = np.isfinite(table).any(1)
    kept = table[some]
    if not len(kept):
        raise DataError("no prompt was judged for both", "compare runs on the same prompts")
    if np.nanmin(kept) < 0 or np.nanmax(kept) > 1:
        raise DataError("an outcome lies outside [0, 1]", "1 is a win, 0.5 a tie, 0 a loss")
    return kept, int((~some).sum())


def _summary(rates: Floats, table: Floats, missing: int, level: float) -> Estimate:
    """Interval of the mean of rates (S,), within [0, 1]."""
    judged = int(np.isfinite(table).sum(1).min())
    if len(rates) > 1 and not _one_sided(table):
        found = mean_interval(rates, level)
        low, high = (None if each is None else float(np.clip(each, 0, 1)) for each in (found.low, found.high))
        return replace(found, low=low, high=high, missing=missing)
    if len(rates) > 1:
        low, high = clopper_pearson(round(float(rates[0])) * judged, judged, level)
        return Estimate(float(rates[0]), low, high, judged, "Clopper-Pearson of one run", missing, (ONE_SIDED,))
    return replace(proportion(float(rates[0]) * judged, judged, level), missing=missing)


def _one_sided(table: Floats) -> bool:
    """Whether all judgements are wins, or all are losses."""
    return bool(np.nanmin(table) == np.nanmax(table) and np.nanmax(table) in (0, 1))


def _controlled(table: Floats, fits: Fits, missing: int, level: float) -> Estimate:
    theta, error, confounded = fits
    rates = special.expit(theta)
    if len(rates) == 1 and np.isfinite(error[0]):
        half = float(special.ndtri(0.5 + check_level(level) / 2) * error[0])
        low, high = (float(special.expit(theta[0] + side)) for side in (-half, half))
        judged = int(np.isfinite(table).sum())
        return Estimate(float(rates[0]), low, high, judged, "logistic fit of one run", missing, (ONE_RUN,))
    found = _summary(rates, table, missing, level)
    alike = confounded.any() and not _one_sided(table)
    return replace(found, notes=(*found.notes, CONFOUNDED)) if alike else found


def _fit(won: Floats, delta: Floats) -> Fits:
    """Fit θ and φ for N runs at once.

    Args:
        won: (N, P) outcomes, NaN where missing.
        delta: (N, P) differences of length.

    Returns:
        (N,) θ, that of the plain rate where length cannot be controlled for; (N,) its standard error, infinite there;
        (N,) whether length and quality cannot be told apart.
    """
    weight = np.isfinite(won).astype(np.float64)
    if not np.isfinite(delta[weight > 0]).all():
        raise DataError("a judged reply has no length", "measure both replies of every prompt")
    y, size = np.nan_to_num(won), weight.sum(1)
    gap = np.where(weight > 0, delta, 0.0)
    center = (gap.sum(1) / size)[:, None]
    scale = np.sqrt((weight * (gap - center) ** 2).sum(1) / size)[:, None]
    x = np.tanh(gap / np.where(scale > 0, scale, np.inf))
    varied = np.sqrt(np.maximum((weight * x**2).sum(1) / size - ((weight * x).sum(1) / size) ** 2, 0.0))
    mean = (weight * y).sum(1) / size
    # Where no reply differs in length there is nothing to control for, and the fit is the plain rate.
    confounded = (varied < ALIKE) & (weight * (gap != 0)).any(1)
    x = np.where(varied[:, None] >= ALIKE, x, 0.0)
    known = (mean > 0) & (mean < 1) & ~confounded
    theta, error = special.logit(mean), np.full(len(won), np.inf)
    theta[known], error[known] = _newton(y[known], x[known], weight[known])
    return theta, error, confounded


def _newton(y: Floats, x: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Penalised maximum likelihood by Newton's method with bounded steps; the objective is concave."""
    theta, phi, error = np.zeros((3, len(y)))
    for _ in range(200):
        p = special.expit(theta[:, None] + phi[:, None] * x)
        left, bend = weight * (y - p), weight * p * (1 - p)
        first, second = left.sum(1), (left * x).sum(1) - RIDGE * phi
        tt, tp, pp = bend.sum(1), (bend * x).sum(1), (bend * x**2).sum(1) + RIDGE
        determinant = tt * pp - tp**2
        error = np.sqrt(pp / determinant)
        step = np.stack([pp * first - tp * second, tt * second - tp * first]) / determinant
        step /= np.maximum(1.0, np.abs(step).max(0) / 2)
        theta, phi = theta + step[0], phi + step[1]
        if np.abs(step).max(initial=0.0) < 1e-11:
            return theta, error
    raise TrainingError("the length-controlled fit did not converge", "look for a length that is far from the others")


@dataclass(frozen=True)
class WinMatrix:
    """Win rates of every method (row) against every other (column); a method against itself is ½."""

    methods: tuple[str, ...]
    raw: tuple[tuple[Estimate | None, ...], ...]
    """None for two that answered no common prompt at a common seed."""
    controlled: tuple[tuple[Estimate | None, ...], ...] | None
    """At equal length; None without lengths."""


def win_matrix(
    scores: ArrayLike, methods: Sequence[str], lengths: ArrayLike | None = None, level: float = 0.95, tie: float = 0.0
) -> WinMatrix:
    """Win rates of all pairs from scores of the same prompts at the same seeds.

    Args:
        scores: (K, S, P), NaN where a reply was not scored; a seed missing for either method is left out, counted.
        methods: (K,) names.
        lengths: (K, S, P) reply lengths for the controlled rates.
        level: coverage of each interval, in (0, 1); not corrected for the number of pairs.
        tie: largest difference of scores that counts as a tie.
    """
    table = np.asarray(scores, dtype=np.float64)
    sizes = None if lengths is None else np.asarray(lengths, dtype=np.float64)
    if table.ndim != 3 or (sizes is not None and sizes.shape != table.shape):
        raise DataError("scores and lengths must be methods × seeds × prompts", "give both for the same replies")
    names = names_of(methods, len(table))
    pairs = [(a, b) for a in range(len(names)) for b in range(a + 1, len(names))]
    judged = {(a, b): outcomes(table[a], table[b], tie) for a, b in pairs}
    won = {pair: _runs(found) for pair, found in judged.items() if np.isfinite(found).any()}
    raw = {pair: _summary(np.nanmean(runs, axis=1), runs, missing, level) for pair, (runs, missing) in won.items()}
    controlled = None if sizes is None else _square(_controlled_pairs(won, table, sizes, level), table)
    return WinMatrix(names, _square(raw, table), controlled)


def _controlled_pairs(
    won: dict[tuple[int, int], tuple[Floats, int]], table: Floats, sizes: Floats, level: float
) -> dict[tuple[int, int], Estimate]:
    """Controlled rates of all pairs, fitted together for each row: one fit a pair would mostly wait for numpy."""
    found = {}
    for row in sorted({a for a, _ in won}):
        pairs = [pair for pair in won if pair[0] == row]
        both = [np.isfinite(table[a] - table[b]).any(1) for a, b in pairs]
        deltas = [(sizes[a] - sizes[b])[kept] for (a, b), kept in zip(pairs, both, strict=True)]
        fits = _fit(np.concatenate([won[pair][0] for pair in pairs]), np.concatenate(deltas))
        ends = np.cumsum([len(each) for each in deltas])[:-1]
        for pair, theta, error, confounded in zip(pairs, *(np.split(each, ends) for each in fits), strict=True):
            found[pair] = _controlled(won[pair][0], (theta, error, confounded), won[pair][1], level)
    return found


def _square(rates: dict[tuple[int, int], Estimate], table: Floats) -> tuple[tuple[Estimate | None, ...], ...]:
    """Fill in the other half and the diagonal."""
    places = range(len(table))
    whole: dict[tuple[int, int], Estimate] = {
        **rates,
        **{(b, a): turned(rate) for (a, b), rate in rates.items()},
        **{(a, a): Estimate(0.5, 0.5, 0.5, table.shape[1], "itself") for a in places},
    }
    return tuple(tuple(whole.get((a, b)) for b in places) for a in places)


def turned(rate: Estimate) -> Estimate:
    """The same rate seen from the other side: 1 − value, with its interval."""
    low, high = (None if each is None else 1 - each for each in (rate.high, rate.low))
    return replace(rate, value=1 - rate.value, low=low, high=high)
