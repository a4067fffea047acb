"""What a comparison says, in sentences: the answer first, and what the reader must know before believing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from alignlab.compare import readings
from alignlab.compare.conditions import Condition
from alignlab.compare.labels import text
from alignlab.compare.pools import JUDGES, one_start
from alignlab.compare.rows import SFT

LISTED = 5
POOLS = 3
"""Pools of rows that the answer speaks of."""
Row = Mapping[str, Any]


def answer(content: Mapping[str, Any]) -> str:
    """One or two sentences: what is best, as far as the runs can tell; so for each pool of rows that may be ranked."""
    if not content.get("primary"):
        return "No score is known to all runs: they can be read, not ranked."
    pools = content["pools"]
    if len(pools) == 1:
        return _best(content, pools[0])
    told = " ".join(f"{pool['label']}: {_best(content, pool)}" for pool in pools[:POOLS])
    more = f" So for {len(pools) - POOLS} more." if len(pools) > POOLS else ""
    return f"{_unranked(content)} {told}{more}"


def _unranked(content: Mapping[str, Any]) -> str:
    """That rows of different pools have no order."""
    what = "data or judges" if content["primary"] in JUDGES else "data"
    return f"Rows of different {what} are not ranked against each other."


def _best(content: Mapping[str, Any], pool: Mapping[str, Any]) -> str:
    name, label = content["primary"], content.get("primary_label") or ""
    rows = [row for row in content["rows"] if row["id"] in pool["ids"]]
    known = [row for row in rows if row["metrics"][name]["mean"] is not None]
    if not known:
        return f"No row has a finite {label}."
    ranked = sorted(known, key=lambda row: -row["metrics"][name]["mean"])
    best = ranked[0]
    gain = best["gain"]["mean"]
    lead = f"{best['label']} has the highest {label}, {_number(best['metrics'][name])}"
    lead += f" ({gain:+.2f} against SFT)." if gain is not None else "."
    if len(rows) == 1:
        return lead + " It is the only row: nothing is compared."
    return f"{lead} {_told(content, pool, best, rows, ranked)}"


def _told(
    content: Mapping[str, Any], pool: Mapping[str, Any], best: Row, rows: Sequence[Row], ranked: Sequence[Row]
) -> str:
    """How the best row stands to the others of its pool, over the seeds they share."""
    pairs = {}
    for pair in content["pairs"]:
        if best["id"] in (pair["a"], pair["b"]):
            turned = pair["b"] == best["id"]
            other = pair["a"] if turned else pair["b"]
            pairs[other] = (pair["separated"], -pair["difference"] if turned else pair["difference"])
    design = pool["design"]
    if not pairs:
        return "There are too few common seeds to compare it with any other row."
    if design["kind"] == readings.NONE:
        one = "One seed" if design["seeds_run"] == 1 else "One common seed"
        return f"{one} cannot tell methods apart: repeat with several, as in seed=0,1,2,3,4."
    met = [row for row in ranked if row["id"] in pairs]
    above = [row["label"] for row in met if pairs[row["id"]][0] and pairs[row["id"]][1] < 0]
    peers = [row["label"] for row in met if not pairs[row["id"]][0]]
    absent = [row["label"] for row in rows if row["id"] not in pairs and row is not best]
    said = [f"Over the seeds that rows share {_listed(above)} is above it."] if above else []
    said.append(_peers(peers, len(met), len(design["seeds"]), bool(above), bool(absent)))
    said += [f"Too few common seeds to compare it with {_listed(absent)}."] if absent else []
    return " ".join(each for each in said if each)


def _peers(peers: Sequence[str], met: int, seeds: int, above: bool, partly: bool) -> str:
    if not peers:
        others = "every other row that can be compared" if partly else "every other row"
        return "" if above else f"It is told apart from {others} over {seeds} seeds."
    if len(peers) == met and not partly:
        return f"These seeds do not tell it apart from any other row: {_listed(peers)}."
    return f"Not told apart from it: {_listed(peers)}."


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:LISTED]) + (f" and {len(labels) - LISTED} more" if len(labels) > LISTED else "")


def _number(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return f"{found['mean']:.2f}"
    return f"{found['mean']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def caveats(content: Mapping[str, Any], rows: Sequence[Condition]) -> list[str]:
    """What limits the comparison, each a sentence; the gravest first."""
    found = []
    pools = content.get("pools") or []
    if len(pools) > 1:
        named = "; ".join(f"{pool['label']} ({len(pool['ids'])})" for pool in pools)
        found.append(f"{_unranked(content)} Tiers, ranks and intervals hold inside: {named}.")
    if content["failures"]:
        found.append(f"{len(content['failures'])} runs have no result; they are listed below and count nowhere.")
    if content["primary"] == "proxy":
        found.append("Rows are ordered by the score that methods are trained on: exploits of it count as gains.")
    elif content["primary"] == "judge_score":
        found.append("Rows are ordered by a reward model no method was trained on; it is a model, not the truth.")
    found += _infinite(rows)
    found += _protocols(rows)
    found += _budgets(rows)
    bound = [row["label"] for row in content["rows"] if row.get("kl_known") == "bound"]
    if bound:
        found.append(f"The KL of {', '.join(bound)} is an upper bound, not a measurement.")
    return found


def _infinite(rows: Sequence[Condition]) -> list[str]:
    """Figures that were written and are no numbers."""
    found = [
        f"{name} of {row.label} seed {seed}"
        for row in rows
        for seed, run in row.runs.items()
        for name, value in run.metrics.items()
        if value is None
    ]
    return [f"Not a finite number, and left out: {_listed(found)}."] if found else []


def _protocols(rows: Sequence[Condition]) -> list[str]:
    """Settings of the evaluation in which runs differ make their figures incomparable."""
    seen: dict[str, set[str]] = {}
    for condition in rows:
        for key, value in condition.first.settings.items():
            if key.startswith("evaluation.") and not key.endswith((".show", ".reveal")):
                seen.setdefault(key, set()).add(str(value))
    differ = sorted(key for key, values in seen.items() if len(values) > 1)
    return [f"Rows were evaluated differently ({', '.join(differ)}): do not compare their figures."] if differ else []


def _budgets(rows: Sequence[Condition]) -> list[str]:
    settings = [condition.first.settings for condition in rows]
    axes = sorted({str(each["budget.axis"]).replace("_", " ") for each in settings if each.get("budget.axis")})
    if len(axes) > 1:
        return [f"Rows have budgets on different axes: {', '.join(axes)}."]
    if not axes:
        return []
    limits = {each.get("budget.limit") for each in settings}
    if len(limits) > 1:
        return [f"Rows have different budgets of {axes[0]}: {', '.join(map(_limit, sorted(limits, key=_size)))}."]
    limit = limits.pop()
    if limit is not None:
        return [f"Budgets are matched on {axes[0]} alone, at {_limit(limit)}."]
    data = {text({key: value for key, value in each.items() if key.startswith("data.")}) for each in settings}
    if len(data) > 1:
        return [f"No budget of {axes[0]} was set and rows have different data: budgets are not matched."]
    return [f"Budgets are matched on {axes[0]} alone: see the cost columns for the rest."]


def _size(limit: Any) -> float:
    return float("inf") if limit is None else float(limit)


def _limit(limit: Any) -> str:
    return "all there are" if limit is None else f"{limit:g}"


def shared(rows: Sequence[Condition]) -> list[str]:
    """What the seeds had in common."""
    runs = [run for condition in rows for run in condition.runs.values()]
    seeds = {run.seed for run in runs}
    stages = {str(run.stage_seed) for run in runs}
    fixed = _streams(run.streams for run in runs)
    left = "intervals leave out how far another draw of those would move the figures."
    found = []
    if len(seeds) > 1 and len(stages) == 1:
        found.append(f"All seeds shared SFT, labels and reward model (stage_seed is fixed): {left}")
    elif len(seeds) > 1 and any(run.stage_seed != run.seed for run in runs):
        found.append(f"Some runs shared SFT, labels and reward model (their stage_seed is fixed): {left}")
    elif len(seeds) > 1:
        rest = " else" if fixed else ""
        found.append(f"Each seed moves everything{rest}: data, SFT, labels, reward model, method and evaluation.")
    if fixed:
        found.insert(0, f"Fixed beside the seed: {fixed}; {left}")
    if not any(run.fingerprints.get("sft") for run in runs):
        found.append("Runs did not record which SFT policy they started from.")
    elif one_start(rows):
        found.append("At each seed all rows started from the same SFT policy and answered the same requests.")
    else:
        found.append("Rows of one seed started from different SFT policies, as their settings ask for.")
    return found


def _streams(runs: Iterable[Mapping[str, Any]]) -> str:
    """Single streams that some runs fixed, as typed, and whether all did."""
    given = list(runs)
    found = {f"{key}={value}": None for each in given for key, value in each.items()}
    partly = "" if all(each == given[0] for each in given) else " (not in all runs)"
    return ", ".join(found) + partly if found else ""


def baseline_label(content: Mapping[str, Any]) -> str:
    """The row everything is held against, by its label."""
    return next((row["label"] for row in content["rows"] if row["id"] == content.get("baseline")), SFT)
