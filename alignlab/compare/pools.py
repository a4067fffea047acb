"""Which rows may be ranked against each other: those that met the same data and were scored by the same judge.

Scores on different data are in different units, and so are scores of reward models that were trained on different
labels. Rows of one pool are compared; rows of two are shown side by side.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
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
    known = {row.id: _world(row) for row in rows}

    def alike(one: Condition, other: Condition) -> bool:
        return _one_world(known[one.id], known[other.id]) and _one_judge(one, other, primary)

    found: list[list[Condition]] = []
    for row in rows:
        home = next((pool for pool in found if all(alike(row, other) for other in pool)), None)
        if home is None:
            found.append([row])
        else:
            home.append(row)
    if len(found) == 1:
        return [Pool(_data(rows[0]), tuple(rows))]
    called = [_label(pool, found, number) for number, pool in enumerate(found, 1)]
    called = labels.unique(called, [row[0].id for row in found])
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


def _world(row: Condition) -> dict[str, str]:
    found = {key: labels.text(value) for key, value in row.settings.items() if WORLD.match(key)}
    return {"data": _data(row), **found}


def _one_world(ours: Mapping[str, str], theirs: Mapping[str, str]) -> bool:
    """Whether two rows met the same data, as far as both recorded it."""
    return all(ours[key] == theirs[key] for key in ours.keys() & theirs.keys())


def _one_judge(one: Condition, other: Condition, primary: str) -> bool:
    """Whether one model scored both rows at every common seed, as far as both recorded it."""
    judge = JUDGES.get(primary, "")
    both = one.runs.keys() & other.runs.keys()
    pairs = [(one.runs[seed].fingerprints.get(judge), other.runs[seed].fingerprints.get(judge)) for seed in both]
    return all(None in pair or pair[0] == pair[1] for pair in pairs)


def _label(pool: Sequence[Condition], all_pools: Sequence[Sequence[Condition]], number: int) -> str:
    """The data where pools differ in it, with what the pool's rows share; and a number where that may not be enough."""
    others = [each for each in all_pools if each is not pool]
    same = [_one_world(_world(pool[0]), _world(each[0])) for each in others]
    own = labels.outside(pool[0].shown)
    shared = {key: value for key, value in own.items() if all(row.shown.get(key) == value for row in pool)}
    told = sorted(shared.keys() - {"data.source"}, key=lambda key: (not WORLD.match(key), key))[:2]
    parts = [] if all(same) else [_data(pool[0])]
    parts += [labels.named("", {key: shared[key]}).strip() for key in told]
    parts += [f"judge {number}"] if any(same) else []
    return ", ".join(part for part in parts if part) or f"data {number}"
