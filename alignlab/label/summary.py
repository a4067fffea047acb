"""What labels say: how reliable the annotator is, and which method wins how often. Pure and torch-free.

Repeats measure the annotator and count in no win rate. Several labels on one request say less than as many on
different ones, so that each request counts once, with the mean of what was said about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from alignlab.evaluation.measures import NOTHING, Share, share
from alignlab.label.store import Judgement, read_labels


@dataclass(frozen=True, slots=True)
class Reliability:
    """What repeats and places say about annotators."""

    agreement: Share
    """Repeats, with the order turned round, that were answered as before."""
    first: Share
    """Decided comparisons in which what stood first won; 0.5 without a bias."""
    between: Share
    """Questions that two annotators answered alike."""


def duels(judgement: Judgement) -> Iterator[tuple[int, int, float]]:
    """Every two completions (i, j), i < j, with 1 where i was better, 0 where j was, 0.5 for a tie; none of a skip."""
    for i, j in combinations(range(len(judgement.ranks or ())), 2):
        yield i, j, outcome(judgement, i, j)


def outcome(judgement: Judgement, i: int, j: int) -> float:
    """1 where completion i was better than j, 0 where j was, 0.5 for a tie."""
    assert judgement.ranks is not None
    a, b = judgement.ranks[i], judgement.ranks[j]
    return 0.5 if a == b else float(a < b)


def reliability(labels: Sequence[Judgement]) -> Reliability:
    """Agreement with oneself and with others, and the pull of the first place.

    A ranking counts as one label: by the share of its pairs that are ordered alike, or won by the earlier place.
    """
    told = [label for label in labels if label.ranks is not None]
    firsts = {(label.id, label.annotator): label for label in told if label.repeat_of is None}
    again = [(firsts.get((label.repeat_of or "", label.annotator)), label) for label in told]
    own = [_alike(before, label) for before, label in again if before is not None]
    by_item: dict[str, list[Judgement]] = {}
    for label in firsts.values():
        by_item.setdefault(label.item, []).append(label)
    others = [_alike(*both) for same in by_item.values() for both in combinations(same, 2)]
    places = [won for label in told if (won := _earlier(label)) is not None]
    return Reliability(share(own), share(places), share(others))


def _alike(a: Judgement, b: Judgement) -> float:
    """Share of pairs that two labels of one question order alike."""
    same = [x == y for (_, _, x), (_, _, y) in zip(duels(a), duels(b), strict=True)]
    return sum(same) / len(same)


def _earlier(label: Judgement) -> float | None:
    """Share of decided pairs won by the completion at the earlier place; None where none was decided."""
    decided = [
        won if label.order.index(i) < label.order.index(j) else 1 - won for i, j, won in duels(label) if won != 0.5
    ]
    return sum(decided) / len(decided) if decided else None


def wins(labels: Sequence[Judgement]) -> dict[str, Any]:
    """Win rates between methods as matrices: `wins[i][j]` is how often ids[i] wins against ids[j].

    A tie is half a win. `n` counts different requests, `low` and `high` are the ends of Wilson's 95 % interval; None
    where two methods were never compared. `folders` maps each id to the runs it stands for. JSON-ready.
    """
    ids, folders = _named(labels)
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for label in labels:
        if label.repeat_of is not None:
            continue
        names = [ids[_key(label, place)] for place in range(len(label.completions))]
        for i, j, won in duels(label):
            found.setdefault((names[i], names[j]), {}).setdefault(label.prompt.base, []).append(won)
            found.setdefault((names[j], names[i]), {}).setdefault(label.prompt.base, []).append(1 - won)
    order = sorted(folders)
    cells = {pair: share(map(fmean, requests.values())) for pair, requests in found.items()}
    table = [[cells.get((a, b), NOTHING) for b in order] for a in order]
    return {
        "ids": order,
        "wins": [[cell.value for cell in row] for row in table],
        "n": [[cell.n for cell in row] for row in table],
        "low": [[cell.low for cell in row] for row in table],
        "high": [[cell.high for cell in row] for row in table],
        "folders": {name: sorted(folders[name]) for name in order},
    }


def human_wins(path: str | Path) -> dict[str, Any]:
    """`wins` of a file of labels."""
    return wins(read_labels(path))


def _key(label: Judgement, place: int) -> tuple[str, str]:
    return label.completions[place].method, label.completions[place].settings


def _named(labels: Sequence[Judgement]) -> tuple[dict[tuple[str, str], str], dict[str, set[str]]]:
    """An id for every method and settings, the method's title where that is enough, and the folders of each."""
    folders: dict[tuple[str, str], set[str]] = {}
    for label in labels:
        for place, completion in enumerate(label.completions):
            folders.setdefault(_key(label, place), set()).add(completion.run)
    titles = [method for method, _ in folders]
    ids = {key: key[0] if titles.count(key[0]) == 1 or not key[1] else f"{key[0]} ({key[1]})" for key in folders}
    by_id: dict[str, set[str]] = {}
    for key, name in ids.items():
        by_id.setdefault(name, set()).update(folders[key])
    return ids, by_id
