"""Which rows may be ranked against each other: those that met the same data and were scored by the same judge.

Scores on different data are in different units, and so are scores of reward models that were trained on different
labels. Rows of one pool are compared; rows of two are shown side by side.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from alignlab.compare import labels
from alignlab.compare.conditions import Condition

WORLD = re.compile(r"data\.(source|path|dataset|subset|revision|split|size)$")
"""Settings that decide which data evaluation is about; others decide how it is labelled."""
JUDGES = {"judge_score": "held_out_reward", "proxy": "reward"}
"""Fingerprint of what gives a score, for scores that a trained model gives."""


@dataclass(frozen=True)
class Pool:
    """Rows that may be ranked against each other."""

    label: str
    """What its rows have in common and those of other pools have not."""
    rows: tuple[Condition, ...]


def pools(rows: Sequence[Condition], primary: str) -> list[Pool]:
    """Rows by data and by judge, in the order of the first row of each pool."""
    found: list[list[Condition]] = []
    for row in rows:
        home = next((pool for pool in found if all(_alike(row, other, primary) for other in pool)), None)
        if home is None:
            found.append([row])
        else:
            home.append(row)
    if len(found) == 1:
        return [Pool(_data(rows[0]), tuple(rows))]
    called = [_label(pool, found, number) for number, pool in enumerate(found, 1)]
    return [Pool(label, tuple(pool)) for label, pool in zip(called, found, strict=True)]


def one_start(rows: Sequence[Condition]) -> bool:
    """Whether at each seed all rows started from the same SFT policy, as far as runs recorded it."""
    starts: dict[int, set[str]] = defaultdict(set)
    for row in rows:
        for seed, run in row.runs.items():
            if run.fingerprints.get("sft") is not None:
                starts[seed].add(str(run.fingerprints["sft"]))
    return all(len(found) == 1 for found in starts.values())


def _data(row: Condition) -> str:
    return str(row.first.identity.get("data", ""))


def _world(row: Condition) -> str:
    return labels.text([_data(row), {key: value for key, value in row.settings.items() if WORLD.match(key)}])


def _alike(one: Condition, other: Condition, primary: str) -> bool:
    if _world(one) != _world(other):
        return False
    judge = JUDGES.get(primary, "")
    both = one.runs.keys() & other.runs.keys()
    pairs = [(one.runs[seed].fingerprints.get(judge), other.runs[seed].fingerprints.get(judge)) for seed in both]
    return all(None in pair or pair[0] == pair[1] for pair in pairs)


def _label(pool: Sequence[Condition], all_pools: Sequence[Sequence[Condition]], number: int) -> str:
    """The data where pools differ in it, with what the pool's rows share; a number where that is nothing."""
    worlds = {_world(row) for each in all_pools for row in each}
    parts = [_data(pool[0])] if len(worlds) > 1 else []
    own = labels.outside(pool[0].shown)
    shared = {key: value for key, value in own.items() if all(row.shown.get(key) == value for row in pool)}
    told = sorted(shared, key=lambda key: (not WORLD.match(key), key))[:2]
    parts += [labels.named("", {key: shared[key]}).strip() for key in told if key != "data.source"]
    rest = [each for each in all_pools if each is not pool]
    if len(worlds) == 1 or any(_world(pool[0]) == _world(each[0]) for each in rest):
        parts.append(f"judge {number}")
    return ", ".join(part for part in parts if part)
