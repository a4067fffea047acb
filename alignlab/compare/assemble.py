"""From runs to the content of a comparison: one plain mapping, which leaderboard.json, tables and the page show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alignlab.compare.conditions import Condition, conditions
from alignlab.compare.content import clean
from alignlab.compare.drift import frontier
from alignlab.compare.duels import duels
from alignlab.compare.examples import examples
from alignlab.compare.matched import matched_kl
from alignlab.compare.over_worlds import over_worlds
from alignlab.compare.pools import Pool, one_start, pools
from alignlab.compare.posture import measure_controls, posture
from alignlab.compare.rows import LABELS, SFT, control, extremes, failures, figure, primary_of, row
from alignlab.compare.runs import DONE, EXACT, SWEEP, Run, read_json, read_runs
from alignlab.compare.standing import stand
from alignlab.compare.trials import tuning
from alignlab.compare.verdict import answer, caveats, shared
from alignlab.errors import DataError

SCHEMA = 1


def assemble(
    folders: Sequence[Path], *, baseline: str = SFT, version: str = "", reveal: bool = False
) -> dict[str, Any]:
    """Compare every run in or below some folders.

    Args:
        folders: of runs or sweeps.
        baseline: label or preset that every row is held against; `sft` is where all started.
        version: of alignlab.
        reveal: show real harmful requests and replies to them.

    Raises:
        DataError: a folder holds no run, none is finished, or the baseline is no row.
    """
    runs = read_runs(folders)
    policies = [run for run in runs if run.status != EXACT and (run.status != DONE or run.metrics)]
    rows, repeats = conditions(policies)
    spoiled = [run for run in policies if run.status != DONE]
    if not rows:
        raise _nothing(runs, spoiled)
    primary = primary_of(rows)
    table = [row(condition, primary) for condition in rows]
    groups = pools(rows, primary)
    common = len(groups) == 1 and one_start(rows)
    start = control(rows, primary) if common else None
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "title": _title(rows),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": version,
        "primary": primary,
        "primary_label": LABELS.get(primary, ""),
        "baseline": _baseline(baseline, table),
        "seeds": sorted({seed for condition in rows for seed in condition.runs}),
        "rows": [*table, *([start] if start else []), *extremes(table)],
        "failures": failures(spoiled),
        "not_compared": _not_compared(runs, repeats),
        "commands": _commands(folders, rows),
        "fingerprints": _fingerprints(rows),
        "versions": dict(rows[0].first.about.get("versions") or {}),
        "shared": shared(rows),
        "tuning": tuning(folders, rows),
        "examples": examples(rows, reveal=reveal, start=common),
    }
    notes = _scored(content, rows, groups, common) if primary else []
    content["posture"] = posture(rows, groups, primary, content["seeds"], common=common)
    measure_controls(content)
    faults = (content["posture"] or {}).get("faults", [])
    content["notes"] = [*faults, *caveats(content, rows), *notes]
    content["answer"] = answer(content)
    return dict(clean(content))


def _scored(content: dict[str, Any], rows: Sequence[Condition], groups: Sequence[Pool], common: bool) -> list[str]:
    """What rests on the primary score, put into the content; returns what has to be said of it."""
    primary = content["primary"]
    notes = stand(content, groups)
    content["wins"] = duels(groups, primary, common)
    _controlled(content)
    content["frontier"] = frontier(groups, primary, common)
    content["matched_kl"] = matched_kl(groups, primary)
    content["worlds"] = over_worlds(rows, primary)
    for part in ("matched_kl", "worlds"):
        found = content[part] or {}
        # The page has the sentence beside a table; where there is no table it is a note.
        notes += [found["sentence"]] if found and (part == "worlds" or not found["rows"]) else []
    return notes


def _nothing(runs: Sequence[Run], spoiled: Sequence[Run]) -> DataError:
    exact = [run for run in runs if run.status == EXACT]
    if exact and not spoiled:
        return DataError(f"{len(exact)} runs train on the {exact[0].reason}", "open that page: it is their comparison")
    why = spoiled[0].reason if spoiled else "they train scorers, which answer nothing"
    return DataError(f"none of {len(runs)} runs has figures to compare: {why}", "run the sweep to its end first")


def _not_compared(runs: Sequence[Run], repeats: Sequence[Run]) -> list[dict[str, str]]:
    scorers = [run for run in runs if run.status == DONE and not run.metrics]
    return [
        *({"label": run.name, "reason": "trains what scores completions, not a policy"} for run in scorers),
        *({"label": run.name, "reason": run.reason} for run in runs if run.status == EXACT),
        *({"label": f"{run.name} seed {run.seed}", "reason": f"repeats another run: {run.folder}"} for run in repeats),
    ]


def _title(rows: Sequence[Condition]) -> str:
    names = list(dict.fromkeys(condition.name for condition in rows))
    data = sorted({str(condition.first.identity.get("data", "")) for condition in rows})
    what = ", ".join(names) if len(names) <= 6 else f"{len(names)} methods"
    return f"{what} on {', '.join(data)}"


def _baseline(asked: str, table: Sequence[Mapping[str, Any]]) -> str | None:
    """The id of the row that others are held against, or `sft`; None where nobody scored the SFT policy."""
    found = [str(each["id"]) for each in table if asked in (each["id"], each["label"], each["name"])]
    if asked == SFT:
        return SFT if any(each["gain"]["mean"] is not None for each in table) else None
    if len(found) == 1:
        return found[0]
    known = ", ".join(str(each["label"]) for each in table)
    what = "is no row" if not found else "names several rows"
    raise DataError(f"baseline {asked!r} {what} of this comparison", f"choose from: {known}")


def _controlled(content: dict[str, Any]) -> None:
    """The length-controlled win rate against SFT, from the matrix of duels, into the rows."""
    wins = content.get("wins") or {}
    for each in content["rows"]:
        found = (wins.get("against_sft") or {}).get(each["id"])
        if found:
            each["metrics"]["win_rate_controlled"] = figure({int(seed): value for seed, value in found.items()})


def _commands(folders: Sequence[Path], rows: Sequence[Condition]) -> list[str]:
    sweeps = [str(read_json(folder / SWEEP).get("command", "")) for folder in folders]
    typed = [command for command in sweeps if command]
    if len(typed) < len(folders):
        typed += [str(run.about.get("command", "")) for condition in rows for run in condition.runs.values()]
    return list(dict.fromkeys([*typed, f"python -m alignlab compare {' '.join(map(str, folders))}"]))


def _fingerprints(rows: Sequence[Condition]) -> dict[str, str]:
    """Hashes that every run shares; where they differ, how many there are."""
    found: dict[str, Counter[str]] = {}
    for condition in rows:
        for run in condition.runs.values():
            for name, value in run.fingerprints.items():
                found.setdefault(str(name), Counter())[str(value)] += 1
    return {
        name: next(iter(values))[:16] if len(values) == 1 else f"{len(values)} different"
        for name, values in found.items()
    }
