"""`python -m alignlab.docs`: write the parts of the documentation that follow from declarations.

README.md's method table stands between two markers; docs/methods.md is generated whole. `--check` writes nothing and
fails when either is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from alignlab import registry
from alignlab.catalogue import conventions, needs, parameters
from alignlab.errors import AlignlabError, ConfigError
from alignlab.method import Method
from alignlab.tracking.console import results

BEGIN, END = "<!-- methods: begin -->", "<!-- methods: end -->"
"""What stands between them in README.md is generated."""
PREFACE = """\
# Methods

Generated from the declarations by `python -m alignlab.docs`. Ranges are checked before a run starts; a fair tuning
searches the ranges of the last column.
"""


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


def table() -> str:
    """One row a method."""
    rows = ["| method | what it does | needs | paper |", "|---|---|---|---|"]
    for method in shipped():
        name = f"[`{method.name}`](plugins/{method.name}/README.md)"
        rows.append(f"| {name} | {method.summary} | {', '.join(needs(method))} | {_link(method)} |")
    return "\n".join(rows) + "\n"


def methods_page() -> str:
    """Everything the declarations say."""
    return PREFACE + "".join(_section(method) for method in shipped())


def _section(method: Method) -> str:
    presets = sorted(preset for preset, owner in registry.presets().items() if owner == method.name)
    place = f"plugins/{method.name}"
    lines = [
        f"\n## {method.name}\n",
        f"{method.summary[0].upper()}{method.summary[1:]}. More: [{place}](../{place}/README.md).\n",
        f"```\n{method.equation}\n```\n",
        f"- paper: {_link(method)}",
        f"- needs: {', '.join(needs(method))}",
        f"- names: {', '.join(f'`algo={preset}`' for preset in presets)}",
        *(f"- {name}: {text}" for name, text in conventions(method).items()),
        "\n| `algo.` | default | range | meaning | search |\n|---|---|---|---|---|",
    ]
    for row in parameters(method):
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
