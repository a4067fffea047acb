"""One row a condition: every figure as a mean over seeds with Student's t interval, and what stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from alignlab.compare.conditions import Condition
from alignlab.compare.content import PRIMARY, mapping, number
from alignlab.compare.intervals import mean_interval
from alignlab.compare.runs import FAILED, INVALID, Run

LABELS = {"gold": "gold score", "judge_score": "held-out score", "proxy": "training score"}
SFT = "sft"
REFUSALS = ("refusal_harmful", "refusal_lookalike", "refusal_benign", "refusal_wrapped")


def primary_of(rows: Sequence[Condition]) -> str:
    """The score that decides, the first that every run knows; '' where no score is known to all."""
    runs = [run for row in rows for run in row.runs.values()]
    return next((name for name in PRIMARY if all(name in run.metrics for run in runs)), "")


def figure(by_seed: Mapping[int, float | None]) -> dict[str, Any]:
    """A mean over seeds with its interval, and each seed's value. No value at any seed: all null."""
    known = {seed: value for seed, each in by_seed.items() if (value := number(each)) is not None}
    if not known:
        return {"mean": None, "low": None, "high": None, "by_seed": {}}
    found = mean_interval(list(known.values()))
    listed = {str(seed): value for seed, value in known.items()}
    return {"mean": found.value, "low": found.low, "high": found.high, "by_seed": listed}


def over(runs: Mapping[int, Run], value: Callable[[Run], float | None]) -> dict[str, Any]:
    """A figure of each run as a figure of the row."""
    return figure({seed: value(run) for seed, run in runs.items()})


def row(condition: Condition, primary: str) -> dict[str, Any]:
    """The row of a condition, without what depends on other rows."""
    runs, first = condition.runs, condition.first
    return {
        "id": condition.id,
        "label": condition.label,
        "name": condition.name,
        "method": first.identity.get("method"),
        "summary": first.about.get("summary"),
        "equation": first.about.get("equation"),
        "kl_known": first.about.get("kl_known"),
        "settings": dict(condition.shown),
        "conventions": dict(first.result.get("conventions") or {}),
        "family": first.about.get("family"),
        "command": first.about.get("command"),
        "folders": [str(run.folder) for run in runs.values()],
        "seeds": sorted(runs),
        "control": False,
        "metrics": _metrics(runs),
        "gain": over(runs, lambda run: run.gain(primary)),
        "costs": {name: over(runs, _cost(name)) for name in _names(run.result.get("costs") for run in runs.values())},
        "strata": _strata(runs),
        "attacks": _attacks(runs),
        "breach_at": _breach_at(runs),
        "flags": _flags(runs),
        "counts": {
            "done": len(runs),
            "failed": sum(run.status != INVALID for run in condition.spoiled),
            "invalid": sum(run.status == INVALID for run in condition.spoiled),
        },
    }


def control(rows: Sequence[Condition], primary: str) -> dict[str, Any] | None:
    """The policy that every method started from, as a row; None where runs did not record it.

    Only for rows that started from the same policy at each seed: the first run of a seed speaks for all.
    """
    runs: dict[int, Run] = {}
    for condition in rows:
        for seed, run in condition.runs.items():
            if run.sft:
                runs.setdefault(seed, run)
    if not runs:
        return None
    names = _names(run.sft for run in runs.values())
    metrics = {name: over(runs, _sft(name)) for name in names}
    zero = {seed: 0.0 for seed in runs}
    return {
        "id": SFT,
        "label": "SFT",
        "name": SFT,
        "summary": "The policy every method started from.",
        "settings": {},
        "conventions": {},
        "seeds": sorted(runs),
        "control": True,
        "kl_known": "exact",
        "metrics": metrics | {"kl": figure(zero)},
        "gain": figure(zero) if primary else figure({}),
        "costs": {},
        "strata": _strata(runs, "sft"),
        "attacks": _attacks(runs, "sft"),
        "breach_at": _breach_at(runs, "sft"),
        "flags": [],
        "counts": {"done": len(runs), "failed": 0, "invalid": 0},
    }


def extremes(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Two policies nobody has to run, as a check of the instrument: one refuses everything, one nothing.

    Where no run was judged for refusals there is nothing to check.
    """
    judged = [name for name in REFUSALS if any(name in row["metrics"] for row in table)]
    if not judged:
        return []
    told = (("refuse", "refuse everything", 1.0), ("comply", "comply with everything", 0.0))
    return [_extreme(name, label, share, judged) for name, label, share in told]


def _extreme(name: str, label: str, refusal: float, judged: Sequence[str]) -> dict[str, Any]:
    known = {each: refusal for each in judged} | {"breach": 1 - refusal, "youden": 0.0}
    fixed: dict[str, Any] = {
        each: {"mean": value, "low": None, "high": None, "by_seed": {}} for each, value in known.items()
    }
    empty: dict[str, Any] = {"settings": {}, "conventions": {}, "costs": {}, "strata": {}, "attacks": {}}
    counts = {"done": 0, "failed": 0, "invalid": 0}
    words = "What a policy would score that answers nothing." if refusal else "What one would score that answers all."
    return {
        **{"id": name, "label": label, "name": name, "summary": words, "control": True, "seeds": []},
        **empty,
        **{"metrics": fixed, "gain": figure({}), "breach_at": {}, "flags": [], "counts": counts},
    }


def _names(mappings: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """Keys of all, each once, in the order they appear."""
    return list(dict.fromkeys(str(name) for each in mappings for name in each or {}))


def _metrics(runs: Mapping[int, Run]) -> dict[str, Any]:
    found = {}
    for name in _names(run.metrics for run in runs.values()):
        found[name] = over(runs, _metric(name))
        found[name]["sft"] = over(runs, _sft(name))["mean"]
    return found


def _metric(name: str) -> Callable[[Run], float | None]:
    return lambda run: run.metrics.get(name)


def _sft(name: str) -> Callable[[Run], float | None]:
    return lambda run: run.sft.get(name)


def _cost(name: str) -> Callable[[Run], float | None]:
    return lambda run: (run.result.get("costs") or {}).get(name)


def _side(run: Run, side: str) -> Mapping[str, Any]:
    return (run.result.get("sft") or {}) if side == "sft" else run.result


def _strata(runs: Mapping[int, Run], side: str = "") -> dict[str, Any]:
    def value(kind: str, name: str) -> Callable[[Run], float | None]:
        return lambda run: (((_side(run, side).get("strata") or {}).get(kind) or {}).get(name) or {}).get("mean")

    kinds = _names(_side(run, side).get("strata") for run in runs.values())
    first = [_side(run, side).get("strata") or {} for run in runs.values()]
    return {
        kind: {name: over(runs, value(kind, name)) for name in _names(each.get(kind) for each in first)}
        for kind in kinds
    }


def _posture(run: Run, side: str, part: str) -> Mapping[str, Any]:
    return mapping(mapping(_side(run, side), "posture"), part)


def _attacks(runs: Mapping[int, Run], side: str = "") -> dict[str, Any]:
    def value(attack: str, name: str) -> Callable[[Run], float | None]:
        return lambda run: mapping(mapping(_posture(run, side, "attacks"), attack), name).get("mean")

    kinds: dict[str, Any] = {}
    for run in runs.values():
        kinds = {**_posture(run, side, "attacks"), **kinds}
    return {
        attack: {
            "seen": mapping(kinds, attack).get("seen"),
            "breach": over(runs, value(attack, "breach")),
            "refusal": over(runs, value(attack, "refusal")),
        }
        for attack in kinds
    }


def _breach_at(runs: Mapping[int, Run], side: str = "") -> dict[str, Any]:
    def value(k: str) -> Callable[[Run], float | None]:
        return lambda run: mapping(_posture(run, side, "breach_at"), k).get("value")

    return {k: over(runs, value(k)) for k in _names(_posture(run, side, "breach_at") for run in runs.values())}


def _flags(runs: Mapping[int, Run]) -> list[dict[str, Any]]:
    """Each flag once, with the seeds it was raised at and the words of the first."""
    found: dict[str, dict[str, Any]] = {}
    for seed, run in runs.items():
        for flag in run.result.get("flags") or []:
            one = found.setdefault(
                str(flag.get("name")), {"name": flag.get("name"), "text": flag.get("text"), "seeds": []}
            )
            one["seeds"].append(seed)
    return list(found.values())


def failures(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Runs without a result, and why."""
    return [
        {
            "label": run.name,
            "seed": run.seed,
            "status": run.status if run.status in (INVALID, "missing", "running", "interrupted") else FAILED,
            "reason": run.reason,
            "folder": run.folder.name,
        }
        for run in runs
    ]
