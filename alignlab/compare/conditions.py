"""Which runs are repetitions of one thing: the same settings but for the seed. Each such group is a row.

Its label is the preset's name with the settings in which rows of that name differ, as they would be typed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignlab.compare.runs import DONE, Run

SEEDS = ("seed", "stage_seed")
ASIDE = re.compile(
    r"(store|keep|overlap|workers|job_minutes|trials|seed|stage_seed|algo\.name|algo\.method"
    r"|evaluation\.(show|reveal)|trainer\.(threads|log_every|checkpoint_seconds|micro_batch_size))$"
    r"|(tracking|tune|ranges|streams)(\.|$)"
)
"""Settings in which repetitions of one thing may differ."""


@dataclass(frozen=True, eq=False)
class Condition:
    """One row of the comparison."""

    id: str
    label: str
    name: str
    """The preset."""
    shown: Mapping[str, Any]
    """Settings in which rows differ, and their values here."""
    runs: Mapping[int, Run]
    """Finished runs by seed."""
    spoiled: tuple[Run, ...]
    """Runs of this row without a result."""

    @property
    def first(self) -> Run:
        """The run of the lowest seed."""
        return self.runs[min(self.runs)]


def deciding(run: Run) -> dict[str, Any]:
    """The settings of a run that tell its row from others."""
    return {key: value for key, value in run.settings.items() if not ASIDE.match(key)}


def conditions(runs: Sequence[Run]) -> tuple[list[Condition], list[Run]]:
    """Rows, in the order their first runs appear; and finished runs that repeat a row's seed."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.status == DONE:
            groups[f"{run.name} {json.dumps(deciding(run), sort_keys=True, default=str)}"].append(run)
    chosen, repeats = {}, []
    for key, group in groups.items():
        by_seed: dict[int, Run] = {}
        for run in group:
            if run.seed in by_seed:
                repeats.append(run)
            by_seed.setdefault(run.seed, run)
        chosen[key] = by_seed
    varied = _varied([next(iter(by_seed.values())) for by_seed in chosen.values()])
    spoiled = [run for run in runs if run.status != DONE]
    rows = [_condition(key, by_seed, varied, spoiled) for key, by_seed in chosen.items()]
    return rows, repeats


def _condition(
    key: str, by_seed: Mapping[int, Run], varied: Mapping[str, Sequence[str]], spoiled: Sequence[Run]
) -> Condition:
    first = next(iter(by_seed.values()))
    shown = {key: first.settings[key] for key in varied.get(first.name, ()) if key in first.settings}
    label = " ".join([first.name, *(f"{_brief(name)}={_value(value)}" for name, value in shown.items())])
    digest = hashlib.sha256(key.encode()).hexdigest()[:8]
    own = tuple(run for run in spoiled if _same(run, by_seed))
    return Condition(f"{first.name}-{digest}", label, first.name, shown, dict(sorted(by_seed.items())), own)


def _same(run: Run, by_seed: Mapping[int, Run]) -> bool:
    """Whether a run without a result was to be a repetition: it was typed like one, but for its seed."""
    first = next(iter(by_seed.values()))
    return run.name == first.name and _typed(run) == _typed(first) and run.seed not in by_seed


def _typed(run: Run) -> list[str]:
    given = run.planned.get("overrides")
    items = [str(item) for item in given] if isinstance(given, list) else []
    return sorted(item for item in items if item.partition("=")[0].lstrip("+") not in SEEDS)


def _varied(firsts: Sequence[Run]) -> dict[str, list[str]]:
    """By preset, the settings in which its rows differ, and those outside `algo` in which any rows differ."""
    within: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    across: dict[str, set[str]] = defaultdict(set)
    for run in firsts:
        for key, value in deciding(run).items():
            text = json.dumps(value, sort_keys=True, default=str)
            within[run.name][key].add(text)
            across[key].add(text)
    outside = {key for key, values in across.items() if not key.startswith("algo.") and len(values) > 1}
    return {
        name: sorted(outside | {key for key, values in by_key.items() if len(values) > 1})
        for name, by_key in within.items()
    }


def _brief(key: str) -> str:
    return key.removeprefix("algo.")


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
