"""Tiers of a leaderboard: maximal sets of methods none of which is separated from another.

A method may stand in several tiers, as a letter display shows it: being in one tier with the best and in one with the
middle is what the data say, and cutting it to one place would invent a difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


def tiers_of(methods: Sequence[str], separated: NDArray[np.bool_]) -> tuple[tuple[str, ...], ...]:
    """All maximal sets without a separated pair.

    Args:
        methods: (K,) names, best first.
        separated: (K, K) symmetric, true where two methods differ.

    Returns:
        The tiers, best first, each with its methods best first. Every method stands in at least one.
    """
    count = len(methods)
    together = [
        sum(1 << other for other in range(count) if other != own and not separated[own, other]) for own in range(count)
    ]
    found = (_places(clique) for clique in _cliques(0, (1 << count) - 1, 0, together))
    return tuple(tuple(methods[place] for place in places) for places in sorted(found))


def _places(mask: int) -> list[int]:
    return [place for place in range(mask.bit_length()) if mask >> place & 1]


def _cliques(chosen: int, open_: int, done: int, near: list[int]) -> Iterator[int]:
    """Maximal cliques as bit masks (Bron and Kerbosch 1973, with pivots)."""
    if not open_ | done:
        if chosen:
            yield chosen
        return
    pivot = max(_places(open_ | done), key=lambda place: (open_ & near[place]).bit_count())
    for place in _places(open_ & ~near[pivot]):
        bit = 1 << place
        yield from _cliques(chosen | bit, open_ & near[place], done & near[place], near)
        open_ &= ~bit
        done |= bit
