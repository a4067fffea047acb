"""Performance against the number of search trials (arXiv 1909.03004).

A method that needs thirty trials to look good is not the equal of one that needs three. The curve holds only for
exchangeable trials, such as random search; an adaptive search has an order and no such curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from alignlab.errors import DataError

from .subsets import best_of


@dataclass(frozen=True)
class Curve:
    """Expected outcome of a search of k trials, for k = 1 to n."""

    trials: tuple[int, ...]
    expected: tuple[float, ...]
    """In the unit of the reported score."""
    failed: int
    """Trials without a score: they were paid for and never chosen."""


def tuning_curve(selection: ArrayLike, reported: ArrayLike | None = None) -> Curve:
    """Expected reported score of the trial that k trials would have selected.

    A failed trial counts as the worst: with k of n all failed there is nothing to report, so those k are left out of
    the curve, and it starts at the first k that always includes a finished trial.

    Args:
        selection: (n,) score by which trials are chosen, NaN where a trial failed.
        reported: (n,) score of the same trials that is shown; by default the selection score, which is optimistic,
            since the best of k noisy scores is chosen partly for its noise.
    """
    chosen = np.asarray(selection, dtype=np.float64).ravel()
    shown = chosen if reported is None else np.asarray(reported, dtype=np.float64).ravel()
    if chosen.shape != shown.shape:
        raise DataError(f"{chosen.size} selection scores and {shown.size} reported", "give both scores of every trial")
    done = np.isfinite(chosen) & np.isfinite(shown)
    failed = int((~done).sum())
    if not done.any():
        raise DataError(f"none of {chosen.size} trials has a score", "look at why they failed")
    lowest = chosen[done].min() - 1.0
    ranked, worth = np.where(done, chosen, lowest), np.where(done, shown, 0.0)
    trials = tuple(range(failed + 1, chosen.size + 1))
    return Curve(trials, tuple(float(best_of(ranked, k, worth)) for k in trials), failed)
