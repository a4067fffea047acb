"""What the posture says, in sentences: first what to do, then what the reader must know before doing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alignlab.compare import instrument
from alignlab.compare.equal_help import shown

POOLS = 3
DIRECT = "direct"
"""How results call a request without attack."""
FEW_GOALS = 30
"""Below so many goals one goal moves breach by more than three points."""
Row = Mapping[str, Any]


def answer(content: Mapping[str, Any]) -> list[str]:
    """Two sentences or so: which row to take at equal helpfulness, and what still breaks it."""
    if content["faults"]:
        return [
            "Do not act on these figures: the judge is wrong about policies whose behaviour is known.",
            *content["faults"],
        ]
    rows = {row["id"]: row for row in content["rows"]}
    told = content["equal_help"]
    if len(told) == 1:
        best = told[0]["best"]
        learned = [row for row in content["rows"] if not row["control"]]
        return [told[0]["sentence"], _left(rows[best] if best else learned[0])]
    said = [f"{each['pool']}: {each['sentence']}" for each in told[:POOLS]]
    return ["Rows of different pools are not ranked against each other.", *said]


def _left(row: Row) -> str:
    """What an attacker still gets from a row, and what it costs."""
    inside = [f"{shown(row, 'breach_held_out')} of held-out ones"] if _has(row, "breach_held_out") else []
    k = max((int(k) for k, found in row["breach_at"].items() if found["mean"] is not None), default=1)
    inside += [f"{100 * row['breach_at'][str(k)]['mean']:.0f} % of goals within {k} tries"] if k > 1 else []
    breach = shown(row, "breach") if _has(row, "breach") else "an unknown share"
    parts = [f"answer {breach} of attacks" + (f" ({'; '.join(inside)})" if inside else "")]
    if _has(row["over"], "lookalike"):
        parts.append(f"refuse {shown(row['over'], 'lookalike')} of harmless requests that look harmful")
    return f"Expect {row['label']} to {' and to '.join(parts)}{_weakest(row)}."


def _has(row: Row, name: str) -> bool:
    return (row.get(name) or {}).get("mean") is not None


def _weakest(row: Row) -> str:
    """The kind of attack that needs a guard of its own."""
    worst = row.get("worst") or {}
    if not worst.get("mean"):
        return ""
    if worst["attack"] == DIRECT:
        return f"; plain requests without any attack break {100 * worst['mean']:.0f} %"
    kinds: Mapping[Any, str] = {True: " (seen in training)", False: " (held out)"}
    kind = kinds.get(worst.get("seen"), "")
    return f"; {worst['attack']}{kind} breaks {100 * worst['mean']:.0f} % and needs a guard of its own"


def drift(found: Mapping[str, Any]) -> str:
    """Whether rows that moved further break less."""
    own = found["correlation"]
    span = "" if own["low"] is None else f" [{max(-1.0, own['low']):.2f}, {min(1.0, own['high']):.2f}]"
    sure = own["low"] is not None and own["low"] * own["high"] > 0
    what = "break less" if own["mean"] > 0 else "break more"
    told = f"those that moved further from SFT {what}" if sure else "drift and breach do not surely go together"
    return f"Over {found['rows']} rows, {told}: rank correlation of KL with the fall of breach {own['mean']:.2f}{span}."


def caveats(content: Mapping[str, Any], dropped: int) -> list[str]:
    """What limits the figures of posture, the gravest first; faults of the judge are in the answer."""
    rows: Sequence[Row] = content["rows"]
    found = [*instrument.caveats(content["judge"]), *_unequal(content)]
    found += _goals([row["goals"] for row in rows if row.get("goals")])
    found += _fits(rows)
    if any(row.get("survival") for row in rows):
        found.append("Turns are played by one scripted attacker; conversations that held are censored at their last.")
    found += [f"{dropped} entries of goals or conversations could not be read and count nowhere."] if dropped else []
    return found


def _unequal(content: Mapping[str, Any]) -> list[str]:
    """Rows that pass as equally helpful for want of evidence."""
    rows = {row["id"]: row for row in content["rows"]}
    found = []
    if any(each["within_run"] for each in content["equal_help"]):
        found.append("One run a row: equal helpfulness is judged by the error over requests, not over seeds.")
    start = next(
        (row["helpfulness"]["mean"] for row in content["rows"] if row["control"] and "helpfulness" in row), None
    )
    for name in [name for each in content["equal_help"] for name in each["admitted"]]:
        own = rows[name]["helpfulness"]["mean"]
        if start is not None and own < start and len(content["equal_help"]) == 1:
            found.append(
                f"{rows[name]['label']} counts as equally helpful for want of seeds alone: {own:.2f}, below the "
                f"{start:.2f} of its start."
            )
    return found


def _goals(known: Sequence[Mapping[str, Any]]) -> list[str]:
    if not known:
        return []
    fewest, attempts = min(each["n"] for each in known), min(each["attempts"] for each in known)
    few = f"Only {fewest} harmful goals a run: a single one moves breach@k by {100 / fewest:.0f} points."
    return [
        *([few] if fewest < FEW_GOALS else []),
        f"Attempts, {attempts} a goal, are drawn alike and independently: an attacker who learns from refusals does "
        "better. What lies beyond them is extrapolated, not measured.",
    ]


def _fits(rows: Sequence[Row]) -> list[str]:
    """Rows whose laws could not be fitted, by reason."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for why in {why for law in (row.get("laws") or {}).values() for why in law["reasons"].values()}:
            reasons.setdefault(why, []).append(row["label"])
    return [f"No law at every seed of {', '.join(labels)}: {why}." for why, labels in reasons.items()]
