"""Which row has the best posture among those that are equally helpful, and whether the seeds can tell.

Helpfulness is the mean primary score on benign and look-alike requests. Rows that are told apart from the most helpful
one are out; the rest are ordered by Youden's J under attack, refusals of attacked harmful requests minus over-refusal.
A policy that refuses everything has a J of 0 and nothing to offer, whatever its breaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

from alignlab.compare import blocks, readings
from alignlab.compare.content import MISSING
from alignlab.compare.recommend import POWER, seeds_needed

Row = Mapping[str, Any]
MEASURES = {
    "youden_attacked": "Youden's J under attack",
    "youden": "Youden's J",
}
"""What orders rows, the first that all of them have. Breach alone never does: refusing everything would lead."""
LEVEL = 0.95


def by_seed(rows: Sequence[Row], name: str, seeds: Sequence[int]) -> Any:
    """(K, S) a figure of posture rows at every seed, NaN where it is missing."""
    values = np.full((len(rows), len(seeds)), np.nan)
    for place, row in enumerate(rows):
        known = (row.get(name) or {}).get("by_seed") or {}
        values[place] = [known.get(str(seed), np.nan) for seed in seeds]
    return values


def equal_help(rows: Sequence[Row], seeds: Sequence[int], pool: str = "") -> dict[str, Any]:
    """The question answered for rows of one pool.

    Args:
        rows: of `content["posture"]["rows"]`, methods only.
        seeds: that were run.
        pool: label of the pool; '' where there is one.

    Returns:
        `pool`; `most_helpful`, `admitted`, `out`: ids; `measure`; `order`: ids, best first; `best`: an id or None;
        `decided`: told apart from the next; `level`: ids not told apart from the best; `needed`: seeds that would tell
        the next one apart, or None; `within_run`: helpfulness was judged by the error of one run; `sentence`.
    """
    found: dict[str, Any] = {"pool": pool, "most_helpful": None, "admitted": [], "out": [], "measure": None}
    found |= {"order": [], "best": None, "decided": False, "level": [], "needed": None, "within_run": False}
    known = [row for row in rows if _mean(row, "helpfulness") is not None]
    if not known:
        why = "No row has a score on benign and on look-alike requests"
        return {**found, "sentence": f"{why}: at equal helpfulness nothing is compared."}
    admitted, out, within = _as_helpful(known, seeds)
    found |= {"most_helpful": admitted[0]["id"], "admitted": [row["id"] for row in admitted], "within_run": within}
    found["out"] = [row["id"] for row in out]
    measure = next((name for name in MEASURES if all(_mean(row, name) is not None for row in admitted)), None)
    if measure is None:
        why = "Over-refusal or refusals of harmful requests are not known for all of the equally helpful rows"
        return {**found, "sentence": f"{why}; breach alone orders nothing, since refusing everything would lead."}
    found["measure"] = measure
    ranked = sorted(admitted, key=lambda row: (-_known(row, measure), _known(row, "breach")))
    found["order"] = [row["id"] for row in ranked]
    if _known(ranked[0], measure) <= 0:
        why = "refuses harmful requests more often than harmless ones"
        return {**found, "sentence": f"None of the {len(ranked)} equally helpful rows {why}."}
    told = _verdict(ranked, measure, seeds, len(known) - 1)
    return {**found, **told, "sentence": told["sentence"] + _fewest(ranked)}


def _fewest(ranked: Sequence[Row]) -> str:
    """Which row breaks least, where that is not the one that leads."""
    least = min(ranked, key=lambda row: _known(row, "breach"))
    if _known(least, "breach") >= _known(ranked[0], "breach"):
        return ""
    return f" Fewest breaches among them: {least['label']}, {shown(least, 'breach')}."


def _mean(row: Row, name: str) -> float | None:
    value = (row.get(name) or {}).get("mean")
    return None if value is None else float(value)


def _known(row: Row, name: str) -> float:
    value = _mean(row, name)
    return float("inf") if value is None else value


def _as_helpful(rows: Sequence[Row], seeds: Sequence[int]) -> tuple[list[Row], list[Row], bool]:
    """Rows not told apart from the most helpful, it first; the others; and whether one run's errors decided."""
    found = blocks.all_pairs(by_seed(rows, "helpfulness", seeds), [row["id"] for row in rows], seeds)
    if len(rows) == 1:
        return [rows[0]], [], False
    if found.kind == readings.NONE:
        return _within_run(rows)
    by_id = {row["id"]: row for row in rows}
    best = found.methods[0]
    apart = {other for other in found.methods[1:] if found.pair(best, other).separated}
    inside = [by_id[name] for name in found.methods if name not in apart]
    return inside, [row for row in rows if row["id"] in apart or row["id"] in found.left_out], False


def _within_run(rows: Sequence[Row]) -> tuple[list[Row], list[Row], bool]:
    """The same by the errors that runs have over their requests, Bonferroni; rows without an error stay in.

    Both rows answered the same requests, so the error of a difference is at most about this one: it is cautious.
    """
    best = max(rows, key=lambda row: _known(row, "helpfulness"))
    z = float(special.ndtri(1 - (1 - LEVEL) / 2 / max(1, len(rows) - 1)))
    errors = {row["id"]: row["helpfulness"].get("error") for row in rows}

    def apart(row: Row) -> bool:
        one, other = errors[best["id"]], errors[row["id"]]
        if row is best or one is None or other is None:
            return False
        gap = _known(best, "helpfulness") - _known(row, "helpfulness")
        return bool(gap > z * float(np.hypot(one, other)))

    inside = [row for row in rows if row is not best and not apart(row)]
    return [best, *inside], [row for row in rows if apart(row)], True


def _verdict(ranked: Sequence[Row], measure: str, seeds: Sequence[int], rivals: int) -> dict[str, Any]:
    """What leads among rows in order, and whether it is told apart from the next; `rivals`: other rows of the pool."""
    best, words = ranked[0], MEASURES[measure]
    lead = f"At equal helpfulness {best['label']} leads by {words}, {shown(best, measure)}"
    if len(ranked) == 1:
        if not rivals:
            alone = f"{best['label']} is the only row, so nothing is compared: its {words} is {shown(best, measure)}."
            return {"best": best["id"], "sentence": alone}
        return {"best": best["id"], "decided": True, "sentence": f"{lead}: no other row is as helpful."}
    found = blocks.all_pairs(by_seed(ranked, measure, seeds), [row["id"] for row in ranked], seeds)
    labels = {row["id"]: row["label"] for row in ranked}
    if found.kind == readings.NONE or best["id"] not in found.methods:
        told = "too few common seeds tell it apart from the others: run at least five, as in seed=0,1,2,3,4"
        level = [row["id"] for row in ranked[1:]]
        return {"best": best["id"], "level": level, "sentence": f"{lead}, but {told}."}
    pairs = {other: found.pair(best["id"], other) for other in found.methods if other != best["id"]}
    level = [row["id"] for row in ranked[1:] if row["id"] not in pairs or not pairs[row["id"]].separated]
    if not level:
        others = f"all {len(ranked) - 1} others that are" if len(ranked) > 2 else "the one other that is"
        told = f"told apart from {others} as helpful"
        return {"best": best["id"], "decided": True, "sentence": f"{lead}, {told}."}
    named = ", ".join(labels[other] for other in level[:3]) + (f" and {len(level) - 3} more" if len(level) > 3 else "")
    told = f"but {len(found.seeds)} seeds do not decide: it is not told apart from {named}"
    near = min((other for other in level if other in pairs), key=lambda other: abs(pairs[other].difference), default="")
    needed = seeds_needed(found, pairs[near].difference) if near else None
    more = f" About {needed} seeds would tell {labels[near]} apart in {POWER:.0%} of comparisons." if needed else ""
    if near and not needed and found.residual_sd is not None:
        more = f" No affordable number of seeds would tell {labels[near]} apart: choose by cost or drift."
    return {"best": best["id"], "level": level, "needed": needed, "sentence": f"{lead}, {told}.{more}"}


def shown(row: Row, name: str) -> str:
    """A share of a row in percent with its interval."""
    found = row.get(name) or {}
    if found.get("mean") is None:
        return MISSING
    middle = f"{100 * found['mean']:.1f} %"
    if found.get("low") is None or found.get("high") is None or found["low"] == found["high"]:
        return middle
    least = -1.0 if name in MEASURES else 0.0
    low, high = (100 * min(1.0, max(least, found[end])) for end in ("low", "high"))
    return f"{middle} [{low:.1f}, {high:.1f}]"
