"""The expected best of k among n values, over all subsets of size k at once.

Best-of-n sampling (subsets of sampled replies) and tuning curves (subsets of search trials) are one formula: the value
of rank i, counted from the lowest, is the best of a subset with probability C(i − 1, k − 1)/C(n, k). Averaging over
subsets has far less noise than drawing them, and is unbiased where drawing with replacement is not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from alignlab.errors import ConfigError, DataError

from .intervals import Floats


def chances(n: int, k: int) -> Floats:
    """(n,) probability that the value of each rank, lowest first, is the largest of a random subset of size k."""
    if not 1 <= k <= n:
        raise ConfigError(f"the best of {k} cannot be taken from {n}", f"take between 1 and {n}")
    rank = np.arange(1, n + 1, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = _log_choose(rank - 1, k - 1) - _log_choose(np.float64(n), k)
    return np.where(rank >= k, np.exp(logs), 0.0)


def _log_choose(n: Floats | np.float64, k: int) -> Floats:
    return np.asarray(special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1))


def best_of(selection: ArrayLike, k: int, reported: ArrayLike | None = None) -> Floats:
    """Expected value reported for the one with the highest selection score among k of n.

    Args:
        selection: (..., n) scores that choose, such as a reward model's or those on validation prompts.
        k: between 1 and n.
        reported: (..., n) scores that are reported of the chosen one, `selection` by default. Among equal selection
            scores each is as likely to be chosen.

    Returns:
        (...,) expectations.
    """
    chosen = np.asarray(selection, dtype=np.float64)
    shown = chosen if reported is None else np.asarray(reported, dtype=np.float64)
    if not chosen.size or chosen.shape != shown.shape:
        raise DataError(f"scores of shapes {chosen.shape} and {shown.shape}", "give both scores of the same items")
    if not (np.isfinite(chosen).all() and np.isfinite(shown).all()):
        raise DataError("scores that are not finite cannot be ranked", "leave failed ones out and count them")
    weights = chances(chosen.shape[-1], k)
    order = np.argsort(chosen, axis=-1, kind="stable")
    ranked = np.take_along_axis(chosen, order, -1)
    shared = np.apply_along_axis(_share, -1, ranked, weights)
    return np.asarray((np.take_along_axis(shown, order, -1) * shared).sum(-1))


def _share(ranked: Floats, weights: Floats) -> Floats:
    """Average the weights inside runs of equal values."""
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    lengths = np.diff(np.r_[starts, ranked.size])
    return np.repeat(np.add.reduceat(weights, starts) / lengths, lengths)
