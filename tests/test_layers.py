"""The import graph, as a test: an arrow the diagram in docs/architecture.md does not show cannot be merged."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

# The part of `compare` that is arrays in and numbers out, and imports nothing else of ours.
STATISTICS = (
    *("compare.blocks", "compare.complete", "compare.readings", "compare.spread", "compare.tiers"),
    *("compare.bootstrap", "compare.intervals", "compare.quantiles", "compare.subsets", "compare.tuning"),
    *("compare.frontiers", "compare.overoptimisation", "compare.winrates", "compare.worlds"),
    *("compare.attempts", "compare.laws", "compare.survival"),
)
# Each layer may import itself and the ones above it in this list. The longest name that fits a module decides.
LAYERS = (
    ("errors", "version", "work"),
    STATISTICS,
    ("settings",),
    ("method", "seeding"),
    ("plugins", "registry"),
    (
        "budget",
        "config",
        "annotators.config",
        "evaluation.config",
        "attacks.kinds",
        "endpoint",
        "exact.settings",
        "judges.config",
        "models.config",
        "models.size",
        "numerics",
        "promptsets.config",
        "promptsets.known",
        "rewards.config",
        "stages.files",
        "tune",
    ),
    ("compare",),
    ("annotators.feedback", "attacks", "data", "promptsets", "worlds"),
    ("models",),
    ("rollout",),
    ("annotators", "judges", "rewards"),
    ("modules",),
    ("tracking",),
    ("evaluation",),
    ("stages",),
    ("costs", "launch.background", "run_folder"),
    ("exact", "run"),
    ("catalogue", "explain", "recorded"),
    ("compose", "docs"),
    ("chat", "gate", "judges.check", "label", "launch", "reproduce", "reproduced"),
    ("__main__",),
)
HEAVY = ("torch", "lightning", "transformers", "datasets", "wandb", "numpy", "scipy")
# Names of roles in the stage graph, and words of the vocabulary besides.
ROLES = {"sft", "reward_model", "online"}
SOURCES = sorted([*(ROOT / "alignlab").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
CORE = sorted((ROOT / "alignlab").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))


def name_of(path: Path) -> str:
    """Dotted name of a core module below the package: `stages.store`."""
    parts = path.relative_to(ROOT / "alignlab").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "version"


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("alignlab", *parts) if parts[0] == "plugins" else parts)


def imports(path: Path) -> Iterator[str]:
    """Everything a file imports, inside functions too, relative imports made absolute."""
    package = module_of(path).removesuffix(".__init__").split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def layer_of(name: str) -> int:
    """Position of a module below the package, by the longest prefix that a layer names."""
    places = {each: level for level, names in enumerate(LAYERS) for each in names}
    while name not in places:
        name, dot, _ = name.rpartition(".")
        assert dot, f"alignlab.{name} stands in no layer: add it to LAYERS and to docs/architecture.md"
    return places[name]


def inner(imported: str) -> str | None:
    """A dotted import as a module below the package; `from alignlab import x` may name an attribute of it."""
    if not imported.startswith("alignlab."):
        return None
    name = imported.removeprefix("alignlab.")
    return "version" if name.startswith("__version__") else name


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    own = layer_of(name_of(path))
    upward = {name for each in imports(path) if (name := inner(each)) and layer_of(name) > own}
    assert not upward, f"alignlab.{name_of(path)} may not import {sorted(upward)}: it lies above"


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_files_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 400, "split it: one file, one responsibility"


@pytest.mark.parametrize("path", PLUGINS, ids=module_of)
def test_plugins_import_neither_each_other_nor_what_runs_them(path: Path) -> None:
    own = f"alignlab.plugins.{path.relative_to(ROOT / 'plugins').parts[0]}"
    found = set(imports(path))
    assert not {name for name in found if name.startswith("alignlab.plugins.") and not name.startswith(own)}
    assert not {name for name in found if name.split(".")[0] in ("hydra", "omegaconf", "wandb")}
    allowed = ("errors", "method", "seeding", "numerics", "data", "models", "modules", "rollout", "plugins", "work")
    assert not {name for each in found if (name := inner(each)) and name.split(".")[0] not in allowed}


def test_no_two_test_files_share_a_name() -> None:
    """Without packages below tests/ pytest takes one of two and drops the other."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


def test_core_spells_no_method() -> None:
    """A method is reached by its declaration; which plugin fills a role is for conf/config.yaml to say."""
    shipped = {path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py")} - ROLES
    spelled = []
    for path in CORE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in shipped:
                spelled.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.value!r}")
    assert shipped >= {"ppo", "dpo"}
    assert not spelled


def loaded_after(code: str, cwd: Path) -> set[str]:
    """Heavy packages in memory after some code ran in a process of its own."""
    ending = f"\nimport sys; print('loaded', *sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code + ending], cwd=cwd, capture_output=True, text=True, check=True, timeout=60
    )
    line = done.stdout.splitlines()[-1].split()
    assert line[0] == "loaded", done.stdout
    return set(line[1:])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["methods"], 0),
        (["methods", "ppo"], 0),
        (["algo=pp0"], 2),
        (["algo.bta=0.1"], 2),
        (["algo.beta=-1"], 2),
        (["model=hf"], 2),
        (["-m", "algo=ppo,dpo", "seed=0,-1"], 2),
        (["--cfg", "job"], 0),
        (["reproduce", "nowhere"], 2),
        (["chat", "nowhere"], 2),
        (["wandb-sync", "nowhere"], 2),
        (["label", "--help"], 0),
        (["judge-check", "--help"], 0),
        (["judge-check", "nowhere.csv"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_answers_at_once(arguments: list[str], code: int, tmp_path: Path) -> None:
    call = f"import sys; from alignlab.__main__ import main; assert main({arguments!r}) == {code}; sys.stdout.flush()"
    assert loaded_after(call, tmp_path) == set()


def test_declarations_and_settings_import_no_torch(tmp_path: Path) -> None:
    kinds = ("sources", "rewards", "annotators", "judges", "attacks", "attackers")
    code = f"from alignlab import registry; registry.methods(); [registry.components(k) for k in {kinds}]"
    assert loaded_after(code, tmp_path) == set()
