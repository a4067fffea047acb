"""What a comparison says, in sentences: the answer first, and what the reader must know before believing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alignlab.compare.conditions import Condition
from alignlab.compare.rows import SFT

LISTED = 5


def answer(content: Mapping[str, Any]) -> str:
    """One or two sentences: what is best, as far as the runs can tell."""
    rows = [row for row in content["rows"] if not row["control"]]
    label = content.get("primary_label") or ""
    if not content.get("primary"):
        return "No score is known to all runs: they can be read, not ranked."
    ranked = sorted(rows, key=lambda row: -(row["metrics"][content["primary"]]["mean"] or float("-inf")))
    best = ranked[0]
    gain = best["gain"]["mean"]
    lead = f"{best['label']} has the highest {label}, {_number(best, content['primary'])}"
    lead += f" ({gain:+.2f} against SFT)." if gain is not None else "."
    if len(rows) == 1:
        return lead + " It is the only row: nothing is compared."
    if content["design"]["kind"] == "none":
        return lead + " One seed cannot tell methods apart: repeat with several, as in seed=0,1,2,3,4."
    letter = (best.get("tiers") or [""])[0]
    peers = [row["label"] for row in ranked[1:] if letter in (row.get("tiers") or [])]
    if not peers:
        return lead + f" It is told apart from every other row over {len(content['design']['seeds'])} seeds."
    named = ", ".join(peers[:LISTED]) + (f" and {len(peers) - LISTED} more" if len(peers) > LISTED else "")
    if len(peers) == len(rows) - 1:
        return lead + f" These seeds do not tell it apart from any other row: {named}."
    return lead + f" Not told apart from it: {named}."


def _number(row: Mapping[str, Any], name: str) -> str:
    found = row["metrics"][name]
    if found["low"] is None:
        return f"{found['mean']:.2f}"
    return f"{found['mean']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def caveats(content: Mapping[str, Any], rows: Sequence[Condition]) -> list[str]:
    """What limits the comparison, each a sentence."""
    found = []
    if content["failures"]:
        found.append(f"{len(content['failures'])} runs have no result; they are listed below and count nowhere.")
    if content["primary"] == "proxy":
        found.append("Rows are ordered by the score that methods are trained on: exploits of it count as gains.")
    elif content["primary"] == "judge_score":
        found.append("Rows are ordered by a reward model no method was trained on; it is a model, not the truth.")
    found += _protocols(rows)
    found += _budgets(content, rows)
    bound = [row["label"] for row in content["rows"] if row.get("kl_known") == "bound"]
    if bound:
        found.append(f"The KL of {', '.join(bound)} is an upper bound, not a measurement.")
    return found


def _protocols(rows: Sequence[Condition]) -> list[str]:
    """Settings of the evaluation in which runs differ make their figures incomparable."""
    seen: dict[str, set[str]] = {}
    for condition in rows:
        for key, value in condition.first.settings.items():
            if key.startswith("evaluation.") and not key.endswith((".show", ".reveal")):
                seen.setdefault(key, set()).add(str(value))
    differ = sorted(key for key, values in seen.items() if len(values) > 1)
    return [f"Rows were evaluated differently ({', '.join(differ)}): do not compare their figures."] if differ else []


def _budgets(content: Mapping[str, Any], rows: Sequence[Condition]) -> list[str]:
    axes = {str(condition.first.settings.get("budget.axis")) for condition in rows} - {"None"}
    if len(axes) == 1:
        axis = axes.pop().replace("_", " ")
        limit = {condition.first.settings.get("budget.limit") for condition in rows}
        text = f"Budgets are matched on {axis} alone"
        return [
            text
            + (
                f", at {limit.pop():g}."
                if len(limit) == 1 and None not in limit
                else ": see the cost columns for the rest."
            )
        ]
    return [f"Rows have budgets on different axes: {', '.join(sorted(axes))}."] if axes else []


def shared(rows: Sequence[Condition]) -> list[str]:
    """What the seeds had in common."""
    found = []
    runs = [run for condition in rows for run in condition.runs.values()]
    stages = {run.identity.get("stage_seed") for run in runs}
    seeds = {run.seed for run in runs}
    if len(seeds) > 1 and len(stages) == 1:
        found.append(
            "All seeds shared SFT, labels and reward model (stage_seed is fixed): intervals leave out how far another "
            "draw of those would move the figures."
        )
    elif len(seeds) > 1:
        found.append("Each seed moves everything: data, SFT, labels, reward model, method and evaluation.")
    starts = {(run.seed, (run.result.get("fingerprints") or {}).get("sft")) for run in runs}
    if len(starts) == len(seeds):
        found.append("At each seed all rows started from the same SFT policy and answered the same requests.")
    else:
        found.append("Rows of one seed started from different SFT policies, as their settings ask for.")
    return found


def baseline_label(content: Mapping[str, Any]) -> str:
    """The row everything is held against, by its label."""
    return next((row["label"] for row in content["rows"] if row["id"] == content.get("baseline")), SFT)
