"""Figures from lists of numbers and texts: means with standard errors, win rate, diversity, refusals.

Pure functions of plain values. A measurement that is missing (None, or not finite) is counted, never averaged
in and never a silent NaN; a figure of nothing is None. Standard errors are those of one run: they say how far
another draw of prompts would move a figure, and nothing about other seeds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

from alignlab.compare.intervals import wilson
from alignlab.data.schema import Verdict
from alignlab.errors import DataError


class Estimate(NamedTuple):
    """A mean with its standard error."""

    mean: float | None
    """None where nothing was measured."""
    error: float | None
    """Standard error; None for fewer than two independent groups."""
    n: int
    """Values that went in."""
    missing: int = 0
    """Values that were None or not finite."""


class Share(NamedTuple):
    """A rate with its interval."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    missing: int = 0


NOTHING = Share(None, None, None, 0)


def measured(value: float | None) -> bool:
    """Whether a value is a finite number."""
    return value is not None and math.isfinite(value)


def estimate(values: Sequence[float | None], groups: Sequence[Hashable] | None = None) -> Estimate:
    """Mean and standard error, robust to groups of values that are not independent (attempts at one goal).

        se^2 = G / (G - 1) * sum_g (sum_{i in g} (x_i - mean))^2 / n^2

    With every value its own group (the default) this is the sample variance over n.
    """
    if groups is not None and len(groups) != len(values):
        raise DataError(f"{len(values)} values but {len(groups)} groups")
    kept = [(index, value) for index, value in enumerate(values) if value is not None and math.isfinite(value)]
    missing = len(values) - len(kept)
    if not kept:
        return Estimate(None, None, 0, missing)
    mean = math.fsum(value for _, value in kept) / len(kept)
    sums: dict[Hashable, float] = {}
    for index, value in kept:
        group = index if groups is None else groups[index]
        sums[group] = sums.get(group, 0.0) + (value - mean)
    count = len(sums)
    if count < 2:
        return Estimate(mean, None, len(kept), missing)
    variance = count / (count - 1) * math.fsum(total**2 for total in sums.values()) / len(kept) ** 2
    return Estimate(mean, math.sqrt(variance), len(kept), missing)


def change(
    after: Sequence[float | None], before: Sequence[float | None], groups: Sequence[Hashable] | None = None
) -> Estimate:
    """Mean of paired differences after - before; a pair with either side missing is counted as missing."""
    if len(after) != len(before):
        raise DataError(f"{len(after)} values after but {len(before)} before: they are compared in pairs")
    pairs = zip(after, before, strict=True)
    return estimate(
        [a - b if a is not None and b is not None and measured(a) and measured(b) else None for a, b in pairs], groups
    )


def share(hits: Iterable[bool | float | None]) -> Share:
    """Rate of hits with its Wilson interval; None is missing."""
    hits = list(hits)
    known = [float(hit) for hit in hits if hit is not None]
    if not known:
        return NOTHING._replace(missing=len(hits))
    total = math.fsum(known)
    return Share(total / len(known), *wilson(total, len(known)), len(known), len(hits) - len(known))


def win_rate(scores: Sequence[float | None], others: Sequence[float | None]) -> Share:
    """How often a score beats its counterpart: (wins + ties / 2) / n, with Wilson's interval."""
    if len(scores) != len(others):
        raise DataError(f"{len(scores)} scores against {len(others)}: they are compared in pairs")
    return share(_result(a, b) for a, b in zip(scores, others, strict=True))


def effective(plain: Share, clustered: Estimate) -> Share:
    """The same share with Wilson's interval at as many independent values as explain the clustered error.

    Several replies to one request say less than as many to different ones (Kish's design effect). Never narrower
    than with every reply counted.
    """
    if plain.value is None or not clustered.error:
        return plain
    n = max(1.0, min(plain.n, plain.value * (1 - plain.value) / clustered.error**2))
    low, high = wilson(plain.value * n, n)
    return plain._replace(low=low, high=high)


def _result(a: float | None, b: float | None) -> float | None:
    if a is None or b is None or not (measured(a) and measured(b)):
        return None
    return 0.5 if a == b else float(a > b)


def distinct_n(texts: Iterable[str], n: int) -> float | None:
    """Different n-grams of words over all n-grams of all texts (arXiv 1510.03055); None if there are none.

    It falls as texts are added, so compare only equally many replies to the same prompts.
    """
    if n < 1:
        raise DataError(f"distinct-n needs n >= 1, got {n}")
    counts: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = text.split()
        counts.update(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    return len(counts) / counts.total() if counts else None


def rate_of(verdicts: Iterable[Verdict | None], verdict: Verdict) -> Share:
    """Share of judged replies with this verdict; None is a reply that was not judged."""
    return share(None if each is None else each is verdict for each in verdicts)


def youden(refusal_harmful: float | None, refusal_lookalike: float | None) -> float | None:
    """Youden's J = refusal(harmful) - refusal(look-alike): 1 tells them apart always, 0 not at all."""
    if refusal_harmful is None or refusal_lookalike is None:
        return None
    return refusal_harmful - refusal_lookalike
