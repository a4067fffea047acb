"""From runs to the content of a comparison: one plain mapping, which leaderboard.json, tables and the page show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from alignlab.compare import blocks
from alignlab.compare.bootstrap import rank_intervals
from alignlab.compare.conditions import Condition, conditions
from alignlab.compare.drift import frontier, matched_kl
from alignlab.compare.duels import duels
from alignlab.compare.examples import examples
from alignlab.compare.rows import LABELS, SFT, control, extremes, failures, figure, primary_of, row
from alignlab.compare.runs import DONE, SWEEP, Run, read_json, read_runs
from alignlab.compare.trials import tuning
from alignlab.compare.verdict import answer, caveats, shared
from alignlab.errors import DataError

SCHEMA = 1
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def assemble(
    folders: Sequence[Path], *, baseline: str = SFT, version: str = "", reveal: bool = False
) -> dict[str, Any]:
    """Compare every run in or below some folders.

    Args:
        folders: of runs or sweeps.
        baseline: label or preset that every row is held against; `sft` is where all started.
        version: of alignlab.
        reveal: show replies to real harmful requests.

    Raises:
        DataError: a folder holds no run, none is finished, or the baseline is no row.
    """
    runs = read_runs(folders)
    policies = [run for run in runs if run.status != DONE or run.metrics]
    scorers = [run for run in runs if run.status == DONE and not run.metrics]
    rows, repeats = conditions(policies)
    spoiled = [run for run in policies if run.status != DONE]
    if not rows:
        why = spoiled[0].reason if spoiled else "they train scorers, which answer nothing"
        raise DataError(f"none of {len(runs)} runs has figures to compare: {why}", "run the sweep to its end first")
    primary = primary_of(rows)
    table = [row(condition, primary) for condition in rows]
    start = control(rows, primary)
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "title": _title(rows),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": version,
        "primary": primary,
        "primary_label": LABELS.get(primary, ""),
        "baseline": _baseline(baseline, table, start),
        "seeds": sorted({seed for condition in rows for seed in condition.runs}),
        "rows": [*table, *([start] if start else []), *extremes(table)],
        "failures": failures(spoiled),
        "not_compared": [
            *({"label": run.name, "reason": "trains what scores completions, not a policy"} for run in scorers),
            *(
                {"label": f"{run.name} seed {run.seed}", "reason": f"repeats another run: {run.folder}"}
                for run in repeats
            ),
        ],
        "commands": _commands(folders, rows),
        "fingerprints": _fingerprints(rows),
        "versions": dict(rows[0].first.about.get("versions") or {}),
        "shared": shared(rows),
    }
    notes: list[str] = []
    if primary:
        notes += _statistics(content)
        content["wins"] = duels(rows, primary)
        _controlled(content)
        content["frontier"] = frontier(rows, primary)
        content["matched_kl"] = matched_kl(rows, primary)
    content["tuning"] = tuning(folders)
    content["examples"] = examples(rows, reveal=reveal)
    content["notes"] = [*caveats(content, rows), *notes]
    content["answer"] = answer(content)
    return content


def _title(rows: Sequence[Condition]) -> str:
    names = list(dict.fromkeys(condition.name for condition in rows))
    data = sorted({str(condition.first.identity.get("data", "")) for condition in rows})
    what = ", ".join(names) if len(names) <= 6 else f"{len(names)} methods"
    return f"{what} on {', '.join(data)}"


def _baseline(asked: str, table: Sequence[Mapping[str, Any]], start: Mapping[str, Any] | None) -> str:
    if asked == SFT and start is not None:
        return SFT
    found = [str(each["id"]) for each in table if asked in (each["id"], each["label"], each["name"])]
    if len(found) == 1:
        return found[0]
    if asked == SFT:
        return str(table[0]["id"])
    known = ", ".join(str(each["label"]) for each in table)
    what = "is no row" if not found else "names several rows"
    raise DataError(f"baseline {asked!r} {what} of this comparison", f"choose from: {known}")


def table_of(rows: Sequence[Mapping[str, Any]], name: str, seeds: Sequence[int]) -> np.ndarray[Any, Any]:
    """(K, S) a figure of every row at every seed, NaN where it is missing. `gain` is a figure too."""
    values = np.full((len(rows), len(seeds)), np.nan)
    for place, each in enumerate(rows):
        by_seed = (each["gain"] if name == "gain" else each["metrics"].get(name) or {}).get("by_seed") or {}
        for column, seed in enumerate(seeds):
            values[place, column] = by_seed.get(str(seed), np.nan)
    return values


def _statistics(content: dict[str, Any]) -> list[str]:
    """Tiers, ranks, pairs and differences to the baseline, put into the content; returns what has to be said."""
    rows = [each for each in content["rows"] if not each["control"]]
    seeds, ids = content["seeds"], [each["id"] for each in rows]
    values = table_of(rows, content["primary"], seeds)
    found = blocks.all_pairs(values, ids, seeds)
    for letter, tier in zip(_letters(len(found.tiers)), found.tiers, strict=True):
        for each in rows:
            if each["id"] in tier:
                each.setdefault("tiers", []).append(letter)
    content["pairs"] = [asdict(pair) for pair in found.pairs]
    content["design"] = {
        "kind": found.kind,
        "df": found.df,
        "residual_sd": found.residual_sd,
        "seeds": list(found.seeds),
        "sentence": _sentence(found),
    }
    notes = list(found.notes)
    notes += _against(content)
    if found.seeds and len(found.methods) > 1:
        chosen = [ids.index(method) for method in found.methods]
        columns = [seeds.index(seed) for seed in found.seeds]
        for rank in rank_intervals(values[np.ix_(chosen, columns)], found.methods):
            rows[ids.index(rank.method)]["rank"] = {"low": rank.low, "high": rank.high, "mean": rank.rank}
    return [_named(note, content["rows"]) for note in dict.fromkeys(notes)]


def _against(content: dict[str, Any]) -> Sequence[str]:
    rows = [each for each in content["rows"] if not each["control"] or each["id"] == content["baseline"]]
    if len(rows) < 2:
        return ()
    values = table_of(rows, content["primary"], content["seeds"])
    found = blocks.against(values, [each["id"] for each in rows], content["baseline"], content["seeds"])
    content["against_baseline"] = [{**asdict(pair), "id": pair.a} for pair in found.pairs]
    content["design"]["baseline_kind"] = found.kind
    return found.notes


def _letters(count: int) -> list[str]:
    return [
        LETTERS[place] if place < len(LETTERS) else f"{LETTERS[place // 26 - 1]}{LETTERS[place % 26]}"
        for place in range(count)
    ]


def _named(note: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows by their labels, where a sentence has their ids."""
    for each in rows:
        note = note.replace(str(each["id"]), str(each["label"])) if each["id"] != SFT else note
    return note


def _sentence(found: blocks.Comparison) -> str:
    count = len(found.seeds)
    if found.kind == blocks_none():
        return "One seed: nothing says how far another seed would move these figures, so no interval is given."
    design = {
        "tukey": f"Every method met the same {count} seeds, so seeds are blocks and all methods share one residual "
        f"({found.df} degrees of freedom); intervals hold for all pairs at once (Tukey).",
        "paired t": f"Two methods on the same {count} seeds: a paired t interval over seeds.",
        "per-pair t": f"Methods vary too differently to share a residual: each pair is read by its own {count} "
        "differences, with Holm's and Bonferroni's corrections.",
    }
    return design.get(found.kind, "")


def blocks_none() -> str:
    """The kind of a comparison without intervals."""
    return "none"


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
            for name, value in (run.result.get("fingerprints") or {}).items():
                found.setdefault(str(name), Counter())[str(value)] += 1
    return {
        name: next(iter(values))[:16] if len(values) == 1 else f"{len(values)} different"
        for name, values in found.items()
    }


def runs_of(rows: Sequence[Condition]) -> list[Run]:
    """Every finished run of the comparison."""
    return [run for condition in rows for run in condition.runs.values()]
