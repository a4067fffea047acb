"""One policy under pressure, over seeds: breach@k, attempts until a breach, laws beyond the data, survival of turns.

With several seeds each figure is a mean over seeds with Student's t, and what is fitted is fitted at every seed. A
single run has intervals over its goals, marked by `unit: goals`: they say nothing about another seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from alignlab.compare.attempts import breach_curve, measured_ks, until_breach
from alignlab.compare.bootstrap import DRAWS
from alignlab.compare.content import mapping, number
from alignlab.compare.laws import Law, beta_binomial, power_law
from alignlab.compare.postures import SFT_SIDE, conversations_of, goals_of, posture_of
from alignlab.compare.rows import figure
from alignlab.compare.runs import Run
from alignlab.compare.survival import Survival, kaplan_meier

Goals = Mapping[int, Sequence[tuple[int, int]]]
FARTHEST = 1024
"""Largest k that the laws are read at."""
LAWS: Mapping[str, Callable[..., Law]] = {"power": power_law, "beta_binomial": beta_binomial}


def alone(found: dict[str, Any], low: float | None, high: float | None, unit: str = "goals") -> dict[str, Any]:
    """A figure of one run with the interval that its own goals or requests give."""
    return {**found, "low": low, "high": high, "unit": unit} if len(found["by_seed"]) == 1 else found


def pressure(runs: Mapping[int, Run], side: str = "") -> dict[str, Any]:
    """Everything of a row that repeated attempts and turns say; parts that no run recorded are absent."""
    goals = {seed: known for seed, run in runs.items() if (known := goals_of(run, side)[0])}
    found: dict[str, Any] = {"breach_at": _reported(runs, side)}
    if goals:
        found["breach_at"] = {**found["breach_at"], **_curve(goals)}
        found["laws"] = _laws(goals)
        found["until"] = _until(runs, goals, side)
        found["goals"] = {
            "n": min(map(len, goals.values())),
            "attempts": min(min(n for _, n in g) for g in goals.values()),
        }
    turns = {seed: played for seed, run in runs.items() if (played := conversations_of(run, side)[0])}
    if turns:
        found["survival"] = _survival(turns)
    return found


def _reported(runs: Mapping[int, Run], side: str) -> dict[str, Any]:
    """breach@k as runs computed it, for those that did not keep the counts of their goals."""
    known = {seed: mapping(posture_of(run, side), "breach_at") for seed, run in runs.items()}
    ks = sorted({int(k) for each in known.values() for k in each if str(k).isdecimal()})
    found = {}
    for k in ks:
        shares = {seed: mapping(each, str(k)) for seed, each in known.items()}
        one = next(iter(shares.values()))
        own = figure({seed: share.get("value") for seed, share in shares.items()})
        found[str(k)] = alone(own, number(one.get("low")), number(one.get("high")))
    return found


def _curve(goals: Goals) -> dict[str, Any]:
    ks = [k for k in measured_ks(next(iter(goals.values()))) if all(k in measured_ks(each) for each in goals.values())]
    draws = DRAWS if len(goals) == 1 else 0
    curves = {seed: breach_curve(known, ks, draws=draws) for seed, known in goals.items()}
    found = {}
    for place, k in enumerate(ks):
        own = figure({seed: curve.values[place] for seed, curve in curves.items()})
        one = next(iter(curves.values()))
        ends = (None, None) if one.low is None or one.high is None else (one.low[place], one.high[place])
        found[str(k)] = alone(own, *ends)
    return found


def _laws(goals: Goals) -> dict[str, Any]:
    reach = min(max(measured_ks(known)) for known in goals.values())
    ks = [k for k in (reach, *(2**power for power in range(11))) if reach <= k <= FARTHEST]
    ks = sorted(set(ks))
    draws = 2000 if len(goals) == 1 else 0
    found = {}
    for name, fit in LAWS.items():
        laws = {seed: fit(known, ks, draws=draws) for seed, known in goals.items()}
        found[name] = _law({seed: law for seed, law in laws.items() if law.a is not None}, laws, ks, reach)
    return found


def _law(fitted: Mapping[int, Law], laws: Mapping[int, Law], ks: Sequence[int], reach: int) -> dict[str, Any]:
    """A law over the seeds where it could be fitted, and why it could not at others."""
    reasons = {str(seed): law.reason for seed, law in laws.items() if law.a is None}
    if not fitted:
        return {"a": None, "b": None, "at": {}, "reach": reach, "reasons": reasons, "notes": []}
    one = next(iter(fitted.values()))
    at = {}
    for place, k in enumerate(ks):
        own = figure({seed: law.values[place] for seed, law in fitted.items()})
        at[str(k)] = alone(own, *((one.low[place], one.high[place]) if one.low else (None, None)))
    ends = {"a": one.a_interval or (None, None), "b": one.b_interval or (None, None)}
    return {
        **{key: alone(figure({seed: getattr(law, key) for seed, law in fitted.items()}), *ends[key]) for key in "ab"},
        "at": at,
        "reach": reach,
        "misfit": max(law.misfit for law in fitted.values() if law.misfit is not None),
        "reasons": reasons,
        "notes": list(dict.fromkeys(note for law in fitted.values() for note in law.notes)),
    }


def _until(runs: Mapping[int, Run], goals: Goals, side: str) -> dict[str, Any]:
    """Median attempts until a breach over the goals of all seeds, and how many times those of the start."""
    pooled = until_breach([goal for known in goals.values() for goal in known], draws=DRAWS if len(goals) == 1 else 0)
    own = {seed: until_breach(known, draws=0) for seed, known in goals.items()}
    never = figure({seed: each.never for seed, each in own.items()})
    found = {"median": pooled.median, "beyond": pooled.beyond, "low": pooled.low, "high": pooled.high, "never": never}
    found["by_seed"] = {str(seed): each.median for seed, each in own.items()}
    if not side:
        found["ratio"] = _ratio({seed: runs[seed] for seed in goals}, goals)
    return found


def _ratio(runs: Mapping[int, Run], goals: Goals) -> dict[str, Any]:
    """How many times the attempts of the start a breach takes: geometric mean over seeds of the ratio of medians.

    A median that was not reached enters as its bound; the ratio is then `bound`: at least so many, without interval.
    """
    logs: dict[int, float] = {}
    bound = False
    for seed, run in runs.items():
        start = goals_of(run, SFT_SIDE)[0]
        before = until_breach(start, draws=0).median if start else None
        after = until_breach(goals[seed], draws=0)
        value = after.median if after.median is not None else after.beyond
        if before is not None and value is not None:
            logs[seed] = float(np.log(value / before))
            bound |= after.median is None
    if not logs:
        return {"mean": None, "low": None, "high": None, "bound": False, "reason": "the start's median is not known"}
    own = figure(logs)
    ends = {key: None if own[key] is None or bound else float(np.exp(own[key])) for key in ("low", "high")}
    return {"mean": float(np.exp(own["mean"])), **ends, "bound": bound, "seeds": len(logs)}


def _survival(turns: Mapping[int, Sequence[tuple[int, bool, str]]]) -> dict[str, Any]:
    """S(t) and hazard of every turn that each seed played."""
    several = len(turns) > 1  # then only the estimates are read
    curves = {}
    for seed, known in turns.items():
        ends, broke, goals = zip(*known, strict=True)
        curves[seed] = kaplan_meier(ends, broke, None if several else goals)
    last = min(curve.turns[-1] for curve in curves.values())
    lines = [_turn(curves, place) for place in range(last)]
    return {"turns": lines, "conversations": min(map(len, turns.values())), "last": last}


def _turn(curves: Mapping[int, Survival], place: int) -> dict[str, Any]:
    one = next(iter(curves.values()))
    survival = figure({seed: curve.survival[place] for seed, curve in curves.items()})
    hazard = figure({seed: curve.hazard[place] for seed, curve in curves.items()})
    return {
        "turn": place + 1,
        "survival": alone(survival, one.low[place], one.high[place]),
        "hazard": alone(hazard, one.hazard_low[place], one.hazard_high[place]),
        "at_risk": sum(curve.at_risk[place] for curve in curves.values()),
        "breaches": sum(curve.breaches[place] for curve in curves.values()),
    }
