"""What is shown, in which order: a pure function of the requests and a seed.

Groups of methods take turns, so that each is asked about as often as the others wherever a session stops. The
places of completions are drawn for every showing. Some showings come again later with the order turned round, which
measures the annotator. Torch-free.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from alignlab.data.schema import Prompt
from alignlab.label.inputs import Candidate, Request
from alignlab.seeding import derive

GAP = 10
"""Showings at least between a question and its repeat, where there are so many."""
LARGEST = 6
"""Completions in one ranking at most; of more methods, every group of so many takes its turn."""
MANY_GROUPS = 2000
"""Groups of methods that take turns at most; of more, as many are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """One question to the annotator."""

    id: str
    """Digest of what is asked, and whether again; says nothing about the methods."""
    item: str
    """Digest of what is asked: the same for a question and its repeat."""
    prompt: Prompt
    attempt: int
    completions: tuple[Candidate, ...]
    """Two or more, in the order of the methods."""
    order: tuple[int, ...]
    """Which completion stands at each place, from the first on."""
    repeat_of: str | None = None
    """The id of the showing that this one asks again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All showings in their order."""

    showings: tuple[Showing, ...]
    identical: int
    """Comparisons that were drawn and passed over because the completions were the same."""


def plan(
    requests: Sequence[Request], methods: Sequence[str], *, count: int, repeat: float, seed: int, rank: bool
) -> Plan:
    """Draw `count` questions (fewer where there are no more) and repeat a share of them, `repeat` in [0, 1].

    `rank` shows all methods at once, up to `LARGEST`, instead of two.
    """
    fresh: list[Showing] = []
    identical = 0
    seen: set[str] = set()
    for asked in _in_turn(requests, methods, min(LARGEST, len(methods)) if rank else 2, seed):
        if len(fresh) == count:
            break
        showing = _showing(*asked, methods, seed)
        if showing is None:
            identical += 1
        elif showing.item not in seen:
            seen.add(showing.item)
            fresh.append(showing)
    return Plan(_with_repeats(fresh, repeat, seed), identical)


def _in_turn(
    requests: Sequence[Request], methods: Sequence[str], size: int, seed: int
) -> Iterator[tuple[Request, list[Candidate]]]:
    """One question of each group of methods, then the next of each, until all are used up."""
    groups = _groups(methods, size, random.Random(derive(seed, "label", "groups")))
    queues = [_of_group(requests, group, seed) for group in groups]
    while queues:
        left = []
        for queue in queues:
            asked = next(queue, None)
            if asked is not None:
                left.append(queue)
                yield asked
        queues = left


def _groups(methods: Sequence[str], size: int, rng: random.Random) -> list[tuple[str, ...]]:
    if math.comb(len(methods), size) <= MANY_GROUPS:
        groups = list(combinations(methods, size))
        rng.shuffle(groups)
        return groups
    drawn = (tuple(sorted(rng.sample(range(len(methods)), size))) for _ in range(MANY_GROUPS))
    return [tuple(methods[place] for place in places) for places in dict.fromkeys(drawn)]


def _of_group(
    requests: Sequence[Request], group: tuple[str, ...], seed: int
) -> Iterator[tuple[Request, list[Candidate]]]:
    """Every request once in drawn order, then again with completions of other runs, while there are any."""
    rng = random.Random(derive(seed, "label", "requests", *group))
    shared = [request for request in requests if all(method in request.candidates for method in group)]
    rng.shuffle(shared)
    for turn in range(max((len(each) for request in shared for each in request.candidates.values()), default=0)):
        for request in shared:
            yield request, _of_runs(request, group, turn, seed)


def _of_runs(request: Request, group: tuple[str, ...], turn: int, seed: int) -> list[Candidate]:
    """One completion of each method, of one and the same seed where they have one in common."""
    rng = random.Random(derive(seed, "label", "runs", request.prompt.id, request.attempt, *group))
    sides = [request.candidates[method] for method in group]
    common = set.intersection(*({candidate.seed for candidate in side} for side in sides))
    seeds = sorted(number for number in common if number is not None)
    rng.shuffle(seeds)
    if seeds:
        wanted = seeds[turn % len(seeds)]
        return [next(each for each in side if each.seed == wanted) for side in sides]
    return [side[(rng.randrange(len(side)) + turn) % len(side)] for side in sides]


def _showing(request: Request, candidates: list[Candidate], methods: Sequence[str], seed: int) -> Showing | None:
    """A question about the different ones of these completions; None where all are the same."""
    texts = [candidate.text.strip() for candidate in candidates]
    rng = random.Random(derive(seed, "label", "order", request.prompt.id, request.attempt, _digest(texts)))
    rng.shuffle(candidates)  # which one of several equal texts stays is drawn
    different = list({candidate.text.strip(): candidate for candidate in candidates}.values())
    if len(different) < 2:
        return None
    different.sort(key=lambda candidate: methods.index(candidate.method))
    order = list(range(len(different)))
    rng.shuffle(order)
    content = [request.prompt.id, request.attempt, [[each.method, each.text] for each in different]]
    item = _digest(content)
    return Showing(
        id=_digest([item, "first"]),
        item=item,
        prompt=request.prompt,
        attempt=request.attempt,
        completions=tuple(different),
        order=tuple(order),
    )


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _with_repeats(fresh: Sequence[Showing], share: float, seed: int) -> tuple[Showing, ...]:
    """Put repeats at least `GAP` showings behind what they repeat, or half the session where it is short."""
    gap = min(GAP, len(fresh) // 2)
    rng = random.Random(derive(seed, "label", "repeats"))
    early = range(max(len(fresh) - gap, 1) if fresh else 0)
    again = sorted(rng.sample(early, min(len(early), math.ceil(share * len(fresh)))))
    placed = [(float(place), showing) for place, showing in enumerate(fresh)]
    placed += [(place + gap + 0.5 + rng.randrange(gap + 1), _again(fresh[place])) for place in again]
    placed.sort(key=lambda entry: entry[0])
    return tuple(showing for _, showing in placed)


def _again(showing: Showing) -> Showing:
    return Showing(
        id=_digest([showing.item, "again"]),
        item=showing.item,
        prompt=showing.prompt,
        attempt=showing.attempt,
        completions=showing.completions,
        order=showing.order[::-1],
        repeat_of=showing.id,
    )
