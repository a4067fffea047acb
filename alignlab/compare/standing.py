"""Where rows stand: tiers, ranks and differences, each read inside a pool of rows that may be ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from alignlab.compare import blocks, readings
from alignlab.compare.bootstrap import rank_intervals
from alignlab.compare.pools import Pool, one_start
from alignlab.compare.rows import SFT

LETTERS = "abcdefghijklmnopqrstuvwxyz"
Row = dict[str, Any]
Array = np.ndarray[Any, Any]


def table_of(rows: Sequence[Mapping[str, Any]], name: str, seeds: Sequence[int]) -> Array:
    """(K, S) a figure of every row at every seed, NaN where it is missing. `gain` is a figure too."""
    values = np.full((len(rows), len(seeds)), np.nan)
    for place, each in enumerate(rows):
        by_seed = (each["gain"] if name == "gain" else each["metrics"].get(name) or {}).get("by_seed") or {}
        for column, seed in enumerate(seeds):
            values[place, column] = by_seed.get(str(seed), np.nan)
    return values


def stand(content: dict[str, Any], pools: Sequence[Pool]) -> list[str]:
    """Put tiers, ranks, pairs, pools and differences to the baseline into the content; returns what has to be said."""
    by_id = {each["id"]: each for each in content["rows"]}
    tiers: list[tuple[str, ...]] = []
    content["pairs"], content["pools"], content["against_baseline"] = [], [], []
    notes: list[str] = []
    for pool in pools:
        rows = [by_id[row.id] for row in pool.rows]
        found = _ranked(content, rows)
        tiers += found.tiers
        content["pairs"] += [asdict(pair) for pair in found.pairs]
        design = {**_design(found, content["seeds"]), "sentence": _sentence(found, content["seeds"], len(rows))}
        notes += found.notes
        held = _against(content, rows)
        if held is not None:
            content["against_baseline"] += [{**asdict(pair), "id": pair.a} for pair in held.pairs]
            design["baseline_kind"] = held.kind
            notes += held.notes
        content["pools"].append({"label": pool.label, "ids": [row["id"] for row in rows], "design": design})
    for letter, tier in zip(_letters(len(tiers)), tiers, strict=True):
        for name in tier:
            by_id[name].setdefault("tiers", []).append(letter)
    content["design"] = _joined(content["pools"])
    notes += _baseline_notes(content, pools)
    return [named(note, content["rows"]) for note in dict.fromkeys(notes)]


def _ranked(content: Mapping[str, Any], rows: Sequence[Row]) -> blocks.Comparison:
    """All pairs of one pool; puts ranks into its rows."""
    seeds, ids = content["seeds"], [each["id"] for each in rows]
    values = table_of(rows, content["primary"], seeds)
    found = blocks.all_pairs(values, ids, seeds)
    if found.seeds and len(found.methods) > 1:
        chosen = [ids.index(method) for method in found.methods]
        columns = [seeds.index(seed) for seed in found.seeds]
        for rank in rank_intervals(values[np.ix_(chosen, columns)], found.methods):
            rows[ids.index(rank.method)]["rank"] = {"low": rank.low, "high": rank.high, "mean": rank.rank}
    return found


def _design(found: blocks.Comparison, seeds: Sequence[int]) -> Row:
    return {
        "kind": found.kind,
        "df": found.df,
        "residual_sd": found.residual_sd,
        "seeds": list(found.seeds),
        "left_out": list(found.left_out),
        "seeds_run": len(seeds),
    }


def _against(content: Mapping[str, Any], rows: Sequence[Row]) -> blocks.Comparison | None:
    """Each row of a pool against the baseline; None where the baseline is not there or has no figures.

    Against SFT it is by gain, each run over the policy it started from, so that SFT is a row of zeros. Where all
    started from the same policies these are the differences of the scores themselves.
    """
    baseline, seeds, ids = content["baseline"], content["seeds"], [row["id"] for row in rows]
    if baseline == SFT:
        gains = table_of(rows, "gain", seeds)
        zero = np.where(np.isfinite(gains).any(0), 0.0, np.nan)
        values, names = np.vstack([gains, zero]), [*ids, SFT]
    elif baseline in ids:
        values, names = table_of(rows, content["primary"], seeds), ids
    else:
        return None
    if len(names) < 2 or not np.isfinite(values[names.index(baseline)]).any():
        return None
    return blocks.against(values, names, baseline, seeds)


def _baseline_notes(content: Mapping[str, Any], pools: Sequence[Pool]) -> list[str]:
    if content["baseline"] is None:
        return ["The SFT policy was not scored: no row is held against it."]
    if content["baseline"] == SFT and not one_start([row for pool in pools for row in pool.rows]):
        return [
            "Runs of one seed started from different SFT policies: every row is held against its own, by its gain, and "
            "SFT stands as a row of zeros in that table; there is no common SFT row."
        ]
    return []


def _letters(count: int) -> list[str]:
    return [
        LETTERS[place] if place < len(LETTERS) else f"{LETTERS[place // 26 - 1]}{LETTERS[place % 26]}"
        for place in range(count)
    ]


def named(note: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows by their labels, where a sentence has their ids."""
    for each in rows:
        note = note.replace(str(each["id"]), str(each["label"])) if each["id"] != SFT else note
    return note


def _joined(pools: Sequence[Mapping[str, Any]]) -> Row:
    """The design of the one pool; of several, that each is read by itself."""
    if len(pools) == 1:
        return dict(pools[0]["design"])
    told = " ".join(f"{pool['label']}: {pool['design']['sentence']}" for pool in pools)
    return {"kind": "several", "df": None, "residual_sd": None, "seeds": [], "sentence": told}


def _sentence(found: blocks.Comparison, seeds: Sequence[int], rows: int) -> str:
    count = len(found.seeds)
    if found.kind == readings.NONE:
        return _silent(found, seeds, rows)
    design = {
        readings.TUKEY: f"Every method met the same {count} seeds, so seeds are blocks and all methods share one "
        f"residual ({found.df} degrees of freedom); intervals hold for all pairs at once (Tukey).",
        readings.PAIRED: f"Two methods on the same {count} seeds: a paired t interval over seeds.",
        readings.PER_PAIR: f"Methods vary too differently to share a residual: each pair is read by its own {count} "
        "differences, with Holm's and Bonferroni's corrections.",
    }
    shared = found.kind.removesuffix(f", {readings.PER_PAIR}")
    if shared in design and shared != found.kind:
        return (
            f"All met the same {count} seeds, which are blocks. Rows that vary alike share one residual ({found.df} "
            "degrees of freedom); pairs with a row that varies differently are read by their own differences. All "
            "intervals hold at once."
        )
    return design.get(found.kind, "")


def _silent(found: blocks.Comparison, seeds: Sequence[int], rows: int) -> str:
    """Why there are no intervals."""
    if rows == 1:
        return "A single row: there is nothing to compare it with."
    if len(found.methods) < 2:
        return "Rows have no seed in common: their differences mix methods with seeds, so no interval is given."
    if len(seeds) > 1:
        return f"Only seed {found.seeds[0]} is common to the rows compared, which allows no interval."
    return "One seed: nothing says how far another seed would move these figures, so no interval is given."
