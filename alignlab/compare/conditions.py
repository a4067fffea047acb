"""Which runs are repetitions of one thing: the same settings but for the seed. Each such group is a row.

Its label is the preset's name with the settings in which rows of that name differ, as they would be typed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignlab.compare import labels
from alignlab.compare.runs import DONE, EXACT, Run

SEEDS = ("seed", "stage_seed")
ASIDE = re.compile(
    r"(store|keep|overlap|workers|job_minutes|trials|seed|stage_seed|algo\.name|algo\.method"
    r"|evaluation\.(show|reveal)"
    r"|trainer\.(threads|log_every|checkpoint_seconds|micro_batch_size|gradient_checkpointing))$"
    r"|(tracking|tune|ranges|streams)(\.|$)"
)
"""Settings in which repetitions of one thing may differ."""
FOLLOWS = "${seed}"
"""A stage seed that is the run's own."""


@dataclass(frozen=True, eq=False)
class Condition:
    """One row of the comparison."""

    id: str
    label: str
    """No other row has it."""
    name: str
    """The preset."""
    curve: str
    """The frontier this row is a point of: its preset with what rows show besides `algo.*`, and so every row of the
    same preset that differs by `algo.*` alone."""
    settings: Mapping[str, Any]
    """Every setting that tells it from other rows, by dotted name."""
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
    found = {key: value for key, value in run.settings.items() if not ASIDE.match(key)}
    if "keep" in run.settings:
        # The last weights are judged whether they are kept or not; the best are another policy.
        found["keep"] = "best" if run.settings["keep"] == "best" else "final"
    return found


def conditions(runs: Sequence[Run]) -> tuple[list[Condition], list[Run]]:
    """Rows, in the order their first runs appear; and finished runs that repeat a row's seed."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.status == DONE:
            groups[f"{run.name} {labels.text(deciding(run))}"].append(run)
    chosen: dict[str, dict[int, Run]] = {}
    settings: dict[str, dict[str, Any]] = {}
    repeats = []
    for group in groups.values():
        for run, stage in zip(group, _stages(group), strict=True):
            own = {**deciding(run), **stage}
            key = f"{run.name} {labels.text(own)}"
            settings[key] = own
            if run.seed in chosen.setdefault(key, {}):
                repeats.append(run)
            chosen[key].setdefault(run.seed, run)
    spoiled = [run for run in runs if run.status not in (DONE, EXACT)]
    return _conditions(chosen, settings, spoiled), repeats


def _stages(group: Sequence[Run]) -> list[dict[str, Any]]:
    """Seeds of stages and of streams as settings, for each run, where they tell runs of one seed apart."""
    kinds: dict[int, set[str]] = defaultdict(set)
    for run in group:
        kinds[run.seed].add(labels.text([run.stage_seed, run.streams]))
    if all(len(found) == 1 for found in kinds.values()):
        return [{} for _ in group]
    fixed = {run.stage_seed for run in group if run.stage_seed != run.seed}
    # A run whose stages are fixed to its own seed belongs to either row: to the moving one where there is one.
    moving = any(run.stage_seed == run.seed and run.seed not in fixed for run in group)
    return [
        {
            "stage_seed": FOLLOWS
            if run.stage_seed == run.seed and (moving or run.seed not in fixed)
            else run.stage_seed,
            **run.streams,
        }
        for run in group
    ]


def _conditions(
    chosen: Mapping[str, Mapping[int, Run]], settings: Mapping[str, Mapping[str, Any]], spoiled: Sequence[Run]
) -> list[Condition]:
    names = [next(iter(by_seed.values())).name for by_seed in chosen.values()]
    shown = labels.shown([(name, settings[key]) for name, key in zip(names, chosen, strict=True)])
    called = [labels.named(name, own) for name, own in zip(names, shown, strict=True)]
    curves = [labels.named(name, labels.outside(own)) for name, own in zip(names, shown, strict=True)]
    rest = [f"{name} {labels.text(labels.outside(settings[key]))}" for name, key in zip(names, chosen, strict=True)]
    called, curves = labels.unique(called, list(chosen)), labels.unique(curves, rest)
    return [
        Condition(
            id=f"{name}-{labels.digest(key)}",
            label=label,
            name=name,
            curve=curve,
            settings=settings[key],
            shown=own,
            runs=dict(sorted(chosen[key].items())),
            spoiled=tuple(run for run in spoiled if _same(run, chosen[key])),
        )
        for key, name, own, label, curve in zip(chosen, names, shown, called, curves, strict=True)
    ]


def _same(run: Run, by_seed: Mapping[int, Run]) -> bool:
    """Whether a run without a result was to be a repetition: it was typed like one, but for its seed."""
    first = next(iter(by_seed.values()))
    return run.name == first.name and _typed(run) == _typed(first) and run.seed not in by_seed


def _typed(run: Run) -> list[str]:
    given = run.planned.get("overrides")
    items = [str(item) for item in given] if isinstance(given, list) else []
    return sorted(item for item in items if item.partition("=")[0].lstrip("+") not in SEEDS)
