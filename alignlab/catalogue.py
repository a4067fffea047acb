"""`python -m alignlab methods`: what is installed, and everything a declaration says about one method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, NamedTuple

from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from alignlab import registry
from alignlab.config import preset_config, preset_values
from alignlab.method import Method, Reference
from alignlab.promptsets.known import SETS
from alignlab.settings import interval
from alignlab.tracking.console import results

REQUIRED = "???"
"""In place of a default where there is none, as YAML has it."""


def show(arguments: Sequence[str]) -> int:
    """List all methods, or print one. Returns the exit code."""
    if arguments:
        for name in arguments:
            declared = registry.method(registry.presets().get(name, name))
            _one(declared)
    else:
        _all()
    return 0


def needs(method: Method) -> list[str]:
    """What a method needs, in words."""
    wanted = method.needs
    words = [] if method.sampler else [str(wanted.data)]
    words += ["another method's policy"] if wanted.policy else ["SFT policy"] if wanted.sft else []
    words += {Reference.LOGPS: ["cached reference log-probs"], Reference.MODEL: ["reference model"]}.get(
        wanted.reference, []
    )
    words += [f"{name} model" for name in wanted.scorers]
    words += ["sampling"] if wanted.rollouts else []
    return words


def variants() -> list[str]:
    """Presets that are not named after their method, each with it."""
    return [f"{preset} ({name})" for preset, name in sorted(registry.presets().items()) if preset != name]


def _all() -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", style="bold", no_wrap=True)
    table.add_column("what it does")
    table.add_column("needs")
    for name, method in sorted(registry.methods().items()):
        table.add_row(name, method.summary, ", ".join(needs(method)))
    results.print(table)
    rows = {"variants": variants()}
    kinds = ("sources", "rewards", "annotators", "judges", "attacks", "attackers")
    rows |= {kind: sorted(registry.components(kind)) for kind in kinds}
    rows["prompt sets"] = sorted(SETS)
    results.print(_pairs({kind: ", ".join(names) for kind, names in rows.items() if names}))
    results.print("\n`python -m alignlab methods NAME` prints all about one.")


def _one(method: Method) -> None:
    results.print(Text(f"{method.name}: {method.summary}", style="bold"))
    results.print(Padding(Text(method.equation), (1, 2)))
    presets = sorted(preset for preset, owner in registry.presets().items() if owner == method.name)
    names = ", ".join(f"algo={preset}" for preset in presets)
    results.print(_pairs({"paper": method.paper, "needs": ", ".join(needs(method)), "names": names}))
    results.print(_parameters(method))
    if method.conventions:
        results.print(Text("conventions", style="bold"))
        results.print(_pairs(conventions(method)))
    if method.failures:
        results.print(Text("\nknown failure modes", style="bold"))
        results.print(_pairs({f"{number}": text for number, text in enumerate(method.failures, 1)}))


def conventions(method: Method) -> dict[str, str]:
    """What one name hides elsewhere, under the settings of the preset that bears the method's name."""
    return (
        method.described(preset_config(method.name)) if method.name in registry.presets() else dict(method.conventions)
    )


def _pairs(rows: Mapping[str, str]) -> Table:
    """Names and texts, the texts folded within their column."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for name, text in rows.items():
        grid.add_row(Text(f"  {name}"), Text(text))
    return grid


class Parameter(NamedTuple):
    """One setting of a method, as text."""

    name: str
    default: str
    valid: str
    """Range in mathematical notation; empty where every value of the type is."""
    search: str
    """Range that a fair tuning searches; empty where it is not searched."""
    meaning: str


def own_fields(method: Method) -> list[Field[Any]]:
    """Every setting of a method; its name and that of its plugin are none."""
    return [spec for spec in fields(method.config) if spec.name not in ("method", "name")]


def parameters(method: Method) -> list[Parameter]:
    """What a method can be told, with the defaults of the preset that bears its name."""
    values = preset_values(method.name) if method.name in registry.presets() else {}
    return [parameter(spec, values.get(spec.name, spec.default)) for spec in own_fields(method)]


def parameter(spec: Field[Any], value: Any) -> Parameter:
    """One setting with the value it starts from."""
    meta = spec.metadata
    if value is MISSING:
        value = spec.default_factory() if callable(spec.default_factory) else REQUIRED
    return Parameter(spec.name, yaml_text(value), _valid(meta), _search(meta.get("search")), meta.get("doc", ""))


def yaml_text(value: Any) -> str:
    """A value as it is typed: true, null, 1e-05."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)


def _valid(meta: Mapping[str, Any]) -> str:
    limited = "low" in meta and not (math.isinf(meta["low"]) and math.isinf(meta["high"]))
    return interval(meta) if limited else ""


def _search(search: tuple[float, float, str] | None) -> str:
    return "" if search is None else f"{search[0]:g} to {search[1]:g}, {search[2]}"


def _parameters(method: Method) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("algo.", "default", "range", "meaning"):
        table.add_column(column, no_wrap=column != "meaning")
    for row in parameters(method):
        searched = f" Tuning searches {row.search}." if row.search else ""
        table.add_row(row.name, row.default, row.valid, row.meaning + searched)
    return table
