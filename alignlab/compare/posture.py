"""How rows refuse, break and over-refuse: everything the comparison says about posture, one mapping.

Seeds are the unit of replication, as everywhere. Single runs show intervals over their own goals or requests, marked
by `unit`. Keys are listed in docs/compare.md, what they mean in docs/posture.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alignlab.compare import frontiers, instrument, posture_words
from alignlab.compare.conditions import Condition
from alignlab.compare.content import mapping, number
from alignlab.compare.equal_help import equal_help
from alignlab.compare.intervals import proportion
from alignlab.compare.pools import Pool
from alignlab.compare.postures import (
    HARMLESS,
    SFT_SIDE,
    conversations_of,
    error_of,
    goals_of,
    held_of,
    helpfulness_of,
    metric_of,
    over_refusal_of,
    posture_of,
    requests_of,
    wrapped_of,
    youden_attacked_of,
)
from alignlab.compare.pressure import alone, pressure
from alignlab.compare.rows import SFT, figure, over
from alignlab.compare.runs import Run

LEAST_KL = 0.05
"""Below this KL in nats what drift bought is not divided by it."""
LEAST_ROWS = 4
"""Rows from which a correlation over them is given."""
FIGURES = ("breach", "breach_seen", "breach_held_out", "breach_at_16_seen", "refusal_harmful", "youden")


def posture(
    rows: Sequence[Condition], pools: Sequence[Pool], primary: str, seeds: Sequence[int], *, common: bool
) -> dict[str, Any] | None:
    """The posture of every row, of SFT where all started from one, and of the two controls; None where none was judged.

    Args:
        rows: conditions.
        pools: rows by what they may be ranked with.
        primary: the score that says how helpful a reply is; '' where none is known to all.
        seeds: that were run.
        common: whether all rows of a seed started from one SFT policy, which then is a row too.
    """
    every = [posture_row(row.id, row.label, row.runs, primary, about=row.first.about) for row in rows]
    found = [row for row in every if row is not None]
    if not found:
        return None
    start = _start(rows, primary) if common else None
    learned = sorted(found, key=lambda row: -_value(row, "youden_attacked"))
    by_id = {row["id"]: row for row in learned}
    runs = [run for row in rows for run in row.runs.values()]
    told = []
    for pool in pools:
        own = [by_id[row.id] for row in pool.rows if row.id in by_id]
        _mark_dominated(own)
        if own:
            told.append(equal_help(own, seeds, pool.label if len(pools) > 1 else ""))
    measured = instrument.controls(dict(enumerate(runs)))
    content: dict[str, Any] = {
        "judge": instrument.judge(runs),
        "controls": measured,
        "faults": instrument.faults(measured),
        "rows": [*learned, *([start] if start else []), *instrument.control_rows(measured)],
        "drift": _drift([row for row in learned if row["kl_known"] != "bound"], seeds),
        "equal_help": told,
    }
    content["answer"] = posture_words.answer(content)
    content["notes"] = posture_words.caveats(content, _dropped(runs))
    return content


def measure_controls(content: Mapping[str, Any]) -> None:
    """Put what the judge said of the two controls into their rows, where it was asked."""
    measured = (content.get("posture") or {}).get("controls") or {}
    for row in content["rows"]:
        if row.get("control") and row["id"] in measured:
            row["metrics"] |= measured[row["id"]]
            row["summary"] = "A fixed policy judged like the others: a check of the judge."


def posture_row(
    name: str, label: str, runs: Mapping[int, Run], primary: str, side: str = "", about: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """A row of the posture; None where none of its runs was judged."""
    figures = {key: _metric(runs, key, side) for key in FIGURES}
    overs = {kind: _over(runs, kind, side) for kind in HARMLESS}
    if all(each["mean"] is None for each in (*figures.values(), *overs.values())):
        return None
    helpful = {seed: helpfulness_of(run, primary, side) if primary else None for seed, run in runs.items()}
    errors = [each[1] for each in helpful.values() if each is not None]
    return {
        "id": name,
        "label": label,
        "control": bool(side),
        "seeds": sorted(runs),
        "kl_known": (about or {}).get("kl_known"),
        **figures,
        "gap": over(
            runs, lambda run: _minus(metric_of(run, "breach_held_out", side), metric_of(run, "breach_seen", side))
        ),
        "over": overs,
        "wrapped_by": _wrapped(runs, side),
        "worst": _worst(runs, side),
        "held": over(runs, lambda run: held_of(run, side)),
        "youden_attacked": over(runs, lambda run: youden_attacked_of(run, side)),
        "helpfulness": {
            **figure({seed: each and each[0] for seed, each in helpful.items()}),
            "error": errors[0] if len(errors) == 1 else None,
        },
        "kl": figure({seed: 0.0 for seed in runs}) if side else over(runs, lambda run: run.metrics.get("kl")),
        "saved": figure({}) if side else over(runs, _saved),
        "per_nat": figure({}) if side else over(runs, _per_nat),
        "dominated_by": [],
        **pressure(runs, side),
    }


def _value(row: Mapping[str, Any], name: str) -> float:
    value = row[name]["mean"]
    return float("-inf") if value is None else float(value)


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _metric(runs: Mapping[int, Run], name: str, side: str) -> dict[str, Any]:
    """A share over seeds; of a single run with 1.96 of its standard errors over requests."""
    found = over(runs, lambda run: metric_of(run, name, side))
    only = next(iter(runs.values()))
    error = error_of(only, name, side)
    if error is None or found["mean"] is None:
        return found
    return alone(found, max(0.0, found["mean"] - 1.96 * error), min(1.0, found["mean"] + 1.96 * error), "requests")


def _over(runs: Mapping[int, Run], kind: str, side: str) -> dict[str, Any]:
    """Over-refusal over seeds; of one run, or where all or none were refused at every seed, by its requests.

    Seeds that agree on 0 measure no uncertainty, and an interval without width would claim none. They ask the same
    requests, as attacks do, so that each counts once, however often it was asked.
    """
    found = over(runs, lambda run: over_refusal_of(run, kind, side))
    asked = [n for run in runs.values() if (n := requests_of(run, kind, side)) is not None]
    if not asked or (len(found["by_seed"]) > 1 and set(found["by_seed"].values()) not in ({0.0}, {1.0})):
        return found
    ends = proportion(found["mean"] * min(asked), min(asked))
    return {**found, "low": ends.low, "high": ends.high, "unit": "requests"}


def _wrapped(runs: Mapping[int, Run], side: str) -> dict[str, Any]:
    known = {seed: wrapped_of(run, side) for seed, run in runs.items()}
    names = dict.fromkeys(name for each in known.values() for name in each)
    return {name: figure({seed: each.get(name) for seed, each in known.items()}) for name in names}


def _worst(runs: Mapping[int, Run], side: str) -> dict[str, Any] | None:
    """The kind of attack that breaks most, by its mean over seeds."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs.values():
        kinds = mapping(posture_of(run, side), "attacks")
        for name in kinds:
            value = number(mapping(mapping(kinds, name), "breach").get("mean"))
            if value is not None:
                own = found.setdefault(name, {"seen": mapping(kinds, name).get("seen"), "values": []})
                own["values"].append(value)
    if not found:
        return None
    worst = max(found, key=lambda name: float(np.mean(found[name]["values"])))
    return {"attack": worst, "seen": found[worst]["seen"], "mean": float(np.mean(found[worst]["values"]))}


def _saved(run: Run) -> float | None:
    return _minus(run.sft.get("breach"), run.metrics.get("breach"))


def _per_nat(run: Run) -> float | None:
    saved, kl = _saved(run), run.metrics.get("kl")
    return None if saved is None or kl is None or kl < LEAST_KL else saved / kl


def _start(rows: Sequence[Condition], primary: str) -> dict[str, Any] | None:
    """SFT as a row: the first run of a seed speaks for all."""
    runs: dict[int, Run] = {}
    for row in rows:
        for seed, run in row.runs.items():
            if run.sft:
                runs.setdefault(seed, run)
    return posture_row(SFT, "SFT", dict(sorted(runs.items())), primary, SFT_SIDE) if runs else None


def _mark_dominated(rows: Sequence[dict[str, Any]]) -> None:
    """Into each row of a pool, which others break no more and over-refuse no more, and one of both less."""
    known = [row for row in rows if row["breach"]["mean"] is not None and row["over"]["lookalike"]["mean"] is not None]
    if not known:
        return
    refused = np.array([row["over"]["lookalike"]["mean"] for row in known])
    broken = np.array([row["breach"]["mean"] for row in known])
    front = set(frontiers.pareto(refused, -broken))
    for place, row in enumerate(known):
        row["frontier"] = place in front
        no_worse = (refused <= refused[place]) & (broken <= broken[place])
        better = (refused < refused[place]) | (broken < broken[place])
        row["dominated_by"] = [known[other]["id"] for other in np.flatnonzero(no_worse & better)]


def _drift(rows: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> dict[str, Any] | None:
    """What KL bought over rows: Spearman's correlation of KL with the fall of breach, at each seed, then over seeds."""
    by_seed: dict[int, float | None] = {}
    for seed in seeds:
        pairs = [(row["kl"]["by_seed"].get(str(seed)), row["saved"]["by_seed"].get(str(seed))) for row in rows]
        both = [pair for pair in pairs if None not in pair]
        by_seed[seed] = _spearman(np.array(both, dtype=np.float64)) if len(both) >= LEAST_ROWS else None
    found = figure(by_seed)
    if found["mean"] is None:
        return None
    told = {"correlation": found, "rows": len(rows)}
    return {**told, "sentence": posture_words.drift(told)}


def _spearman(pairs: Any) -> float | None:
    """Correlation of ranks, ties sharing theirs; None where a column does not vary."""
    one, other = (
        (column[:, None] > column).sum(1) + 0.5 * ((column[:, None] == column).sum(1) - 1) for column in pairs.T
    )
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _dropped(runs: Sequence[Run]) -> int:
    """Entries of goals and conversations that could not be read."""
    return sum(read(run, side)[1] for run in runs for side in ("", SFT_SIDE) for read in (goals_of, conversations_of))
