"""`python -m alignlab methods`: what is installed, and everything a declaration says about one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from omegaconf import OmegaConf
from rich import box
from rich.table import Table
from rich.text import Text

from alignlab import registry
from alignlab.method import Method, Reference, interval
from alignlab.tracking.console import results


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
    words = [str(wanted.data)]
    words += ["SFT policy"] if wanted.sft else []
    words += {Reference.LOGPS: ["cached reference log-probs"], Reference.MODEL: ["reference model"]}.get(
        wanted.reference, []
    )
    words += [f"{name} model" for name in wanted.scorers]
    words += ["sampling"] if wanted.rollouts else []
    return words


def _all() -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", style="bold", no_wrap=True)
    table.add_column("what it does")
    table.add_column("needs")
    for name, method in sorted(registry.methods().items()):
        table.add_row(name, method.summary, ", ".join(needs(method)))
    results.print(table)
    variants = [f"{preset} ({name})" for preset, name in sorted(registry.presets().items()) if preset != name]
    if variants:
        results.print(f"variants: {', '.join(variants)}")
    for kind in ("sources", "rewards", "judges", "attacks"):
        results.print(f"{kind}: {', '.join(sorted(registry.components(kind)))}")
    results.print("\n`python -m alignlab methods NAME` prints one in full.")


def _one(method: Method) -> None:
    results.print(Text(f"{method.name}: {method.summary}", style="bold"))
    results.print(Text(f"\n  {method.equation}\n"))
    results.print(f"  paper  {method.paper}")
    results.print(f"  needs  {', '.join(needs(method))}")
    presets = sorted(preset for preset, owner in registry.presets().items() if owner == method.name)
    results.print(f"  names  {', '.join(f'algo={preset}' for preset in presets)}\n")
    results.print(_parameters(method))
    if method.conventions:
        results.print(Text("conventions", style="bold"))
        for name, value in method.conventions.items():
            results.print(Text(f"  {name}: {value}"))
    if method.failures:
        results.print(Text("known failure modes", style="bold"))
        for failure in method.failures:
            results.print(Text(f"  - {failure}"))


def defaults(preset: str) -> dict[str, Any]:
    """The values that `algo=‹preset›` starts from: those of its YAML."""
    folder = registry.conf_folder(registry.method(registry.presets()[preset]).conf)
    written = OmegaConf.to_container(OmegaConf.load(folder / "algo" / f"{preset}.yaml"))
    return {str(key): value for key, value in written.items() if key != "defaults"}  # type: ignore[union-attr]


def _parameters(method: Method) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("parameter", "default", "range", "meaning"):
        table.add_column(column, no_wrap=column != "meaning")
    values = defaults(method.name) if method.name in registry.presets() else {}
    for spec in fields(method.config):
        if spec.name in ("method", "name"):
            continue
        bounds = interval(spec.metadata) if "low" in spec.metadata and not isinstance(spec.default, str) else ""
        table.add_row(
            f"algo.{spec.name}", str(values.get(spec.name, spec.default)), bounds, spec.metadata.get("doc", "")
        )
    return table
