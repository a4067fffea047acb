"""`python -m alignlab.docs`: write the parts of the documentation that follow from declarations.

README.md's method table stands between two markers; docs/methods.md is generated whole. `--check` writes nothing and
fails when either is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

from alignlab import registry
from alignlab.catalogue import Parameter, conventions, needs, own_fields, parameter, parameters, yaml_text
from alignlab.errors import AlignlabError, ConfigError
from alignlab.method import (
    Data,
    Method,
    MethodConfig,
    OfflineConfig,
    OnlineConfig,
    OnlinePairConfig,
    Output,
    PairConfig,
    TrainedConfig,
)
from alignlab.tracking.console import results

BEGIN, END = "<!-- methods: begin -->", "<!-- methods: end -->"
"""What stands between them in README.md is generated."""
PREFACE = """\
# Methods

Generated from the declarations by `python -m alignlab.docs`. Ranges are checked before a run starts; a fair tuning
searches the ranges of the last column.
"""
SHARED: Mapping[type[MethodConfig], str] = {
    TrainedConfig: "every method that trains",
    OfflineConfig: "methods that pass over stored rows",
    PairConfig: "methods that learn from stored pairs",
    OnlineConfig: "methods that learn from their own samples",
    OnlinePairConfig: "methods that learn from pairs of their own samples",
}
"""Settings that many methods have, described once."""


def main(arguments: Sequence[str]) -> int:
    """Write or check both files. Returns the exit code."""
    root = checkout()
    stale = [path for path, text in pages(root).items() if not path.is_file() or path.read_text("utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            results.print(f"{path.relative_to(root)} is out of date: run `python -m alignlab.docs`")
        return 1 if stale else 0
    for path, text in pages(root).items():
        path.write_text(text, encoding="utf-8")
    results.print("\n".join(f"wrote {path.relative_to(root)}" for path in stale) or "everything is up to date")
    return 0


def checkout() -> Path:
    """The folder that holds README.md and docs/. ConfigError when alignlab is installed without its sources."""
    root = Path(__file__).resolve().parents[1]
    if not (root / "README.md").is_file() or not (root / "docs").is_dir():
        raise ConfigError(f"there is no documentation beside {root}", "run this in a checkout of alignlab")
    return root


def pages(root: Path) -> Mapping[Path, str]:
    """Generated files and what belongs in them."""
    readme = root / "README.md"
    return {readme: with_table(readme.read_text("utf-8")), root / "docs" / "methods.md": methods_page()}


def shipped() -> list[Method]:
    """Methods that come with alignlab, by name; what else is installed is no part of the documentation."""
    found = registry.methods().values()
    return sorted((each for each in found if each.conf.startswith("pkg://alignlab.")), key=lambda each: each.name)


def with_table(readme: str) -> str:
    """README.md with the current table between its markers."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(
            "README.md has no markers for the method table", f"put {BEGIN} and {END} on lines of their own"
        )
    return f"{before}{begin}\n{table()}{end}{after}"


KINDS = {
    "demonstrations": "imitates demonstrations",
    "revisions": "imitates its own samples, revised",
    "pairs": "learns from stored pairs",
    "labels": "learns from single verdicts",
    "own pairs": "learns from pairs of its own samples",
    "own samples": "learns from scores of its own samples",
    "inference": "acts at inference, without training",
    "scorer": "trains what scores completions",
}
"""What a method learns from, in the order of the table."""


def kind(method: Method) -> str:
    """Which row of the table a method stands in."""
    if method.sampler:
        return "inference"
    if method.output is Output.SCORER:
        return "scorer"
    if method.needs.data is Data.PROMPTS:
        return "own pairs" if issubclass(method.config, OnlinePairConfig) else "own samples"
    return str(method.needs.data)


def table() -> str:
    """One row for each kind of supervision, each method a link to its page, with its further names."""
    rows = ["| | `algo=` |", "|---|---|"]
    for name, words in KINDS.items():
        cells = [_named(method) for method in shipped() if kind(method) == name]
        if cells:
            rows.append(f"| {words} | {', '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _named(method: Method) -> str:
    others = [preset for preset in names(method) if preset != method.name]
    link = f"[`{method.name}`](plugins/{method.name}/README.md)"
    return f"{link} ({', '.join(others)})" if others else link


def names(method: Method) -> list[str]:
    """Every `algo=` name that a method answers to, its own first."""
    found = [preset for preset, owner in registry.presets().items() if owner == method.name]
    return sorted(found, key=lambda preset: (preset != method.name, preset))


def methods_page() -> str:
    """Everything the declarations say."""
    rows = ["| method | what it does | needs | paper |", "|---|---|---|---|"]
    for method in shipped():
        cells = (f"[{method.name}](#{method.name})", method.summary, ", ".join(needs(method)), _link(method))
        rows.append(f"| {' | '.join(cells)} |")
    shared = "".join(_shared(base, words) for base, words in SHARED.items())
    return PREFACE + "\n" + "\n".join(rows) + "\n" + shared + "".join(_section(method) for method in shipped())


def _shared(base: type[MethodConfig], words: str) -> str:
    inherited = {spec.name for parent in base.__mro__[1:] if is_dataclass(parent) for spec in fields(parent)}
    rows = [parameter(spec, spec.default) for spec in fields(base) if spec.name not in inherited]
    return f"\n## Settings of {words}\n\n" + _parameters(rows)


def _section(method: Method) -> str:
    place = f"plugins/{method.name}"
    base = next(each for each in method.config.__mro__ if each in SHARED or each is MethodConfig)
    common = {spec.name: spec for spec in fields(base)}
    rows = {spec.name: row for spec, row in zip(own_fields(method), parameters(method), strict=True)}
    own = [row for name, row in rows.items() if name not in common or _meta(method, name) != common[name].metadata]
    shared = {name: row.default for name, row in rows.items() if name in common and row not in own}
    changed = [f"{name} {value}" for name, value in shared.items() if value != yaml_text(common[name].default)]
    lines = [
        f"\n## {method.name}\n",
        f"{method.summary[0].upper()}{method.summary[1:]}. More: [{place}](../{place}/README.md).\n",
        f"```\n{method.equation}\n```\n",
        f"- paper: {_link(method)}",
        f"- needs: {', '.join(needs(method))}",
        f"- names: {', '.join(f'`algo={preset}`' for preset in names(method))}",
        *(f"- {name}: {text}" for name, text in conventions(method).items()),
        *([f"- defaults of shared settings: {', '.join(changed)}"] if changed else []),
    ]
    return "\n".join(lines) + "\n" + (f"\n{_parameters(own)}" if own else "")


def _meta(method: Method, name: str) -> Mapping[str, object]:
    return next(spec.metadata for spec in fields(method.config) if spec.name == name)


def _parameters(rows: Sequence[Parameter]) -> str:
    lines = ["| `algo.` | default | range | meaning | search |", "|---|---|---|---|---|"]
    for row in rows:
        cells = (f"`{row.name}`", row.default, row.valid, row.meaning.replace("|", "\\|"), row.search)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _link(method: Method) -> str:
    name = method.paper.rpartition("/")[2]
    return f"[arXiv {name}]({method.paper})" if "arxiv.org" in method.paper else f"[{name}]({method.paper})"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AlignlabError as expected:
        print(f"error: {expected}", file=sys.stderr)
        sys.exit(expected.exit_code)
