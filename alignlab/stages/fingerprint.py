"""A hash of the source that a stage reaches by import, so that changed code is never served an old result.

The walk is static: from the given modules along every import statement, those inside functions included, within
`alignlab` and within the targets' own top-level packages. Nothing is imported for it. Modules enter by name and
by their syntax tree without docstrings, so that paths, comments and formatting do not count.

Reaching a module does not bring in the `__init__` of the packages above it unless a name is imported from there:
what a package merely re-exports does not change what its module computes. Not seen are modules named by text at
run time (pass them as targets) and data files (put their content hash in the key).
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator
from functools import cache, partial
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

import alignlab.plugins  # noqa: F401  (its path is extended when it is imported)
from alignlab.errors import PluginError

EXCLUDED = (
    "alignlab.errors",  # messages
    "alignlab.tracking",  # observes, never steers
    "alignlab.compare",  # reads finished runs
    "alignlab.launch",  # how jobs are started
    "alignlab.registry",  # discovery: what it finds is passed as a target
    "alignlab.config",  # settings enter a key by their resolved values
    "alignlab.method",  # declarations: likewise
    "alignlab.annotators.config",
    "alignlab.annotators.kinds",
    "alignlab.endpoint.settings",
    "alignlab.judges.config",
    "alignlab.judges.kinds",
    "alignlab.rewards.config",
    "alignlab.rewards.kinds",
    "alignlab.stages.artefact",  # the store itself: a result does not depend on where it is kept
    "alignlab.stages.cache",
    "alignlab.stages.files",
    "alignlab.stages.fingerprint",
    "alignlab.stages.key",
    "alignlab.stages.lock",
    "alignlab.stages.store",
    "alignlab.stages.upkeep",
)
"""Modules, with all below them, that decide no number. A target named outright is never excluded."""

_FACADES = ("alignlab", "alignlab.plugins")
_IMPORTERS = ("import_module", "__import__")
_SILENT = ("ctx", "kind", "type_comment", "type_ignores")


def source_hash(*targets: object) -> str:
    """One SHA-256 over all source that the targets reach; see `source_hashes`."""
    lines = (f"{name} {digest}" for name, digest in source_hashes(*targets).items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def source_hashes(*targets: object) -> dict[str, str]:
    """Hash (16 digits) of each module that the targets reach, by name, sorted.

    As a field of a key, `cache why` can then name the module that changed. Targets are modules, classes,
    functions, instances (for their class) or text, `package.module` or `package.module:name`. PluginError when
    a target has no source or a reached file is not valid Python.
    """
    return dict(_reached(tuple(_module_of(target) for target in targets)))


@cache
def _reached(starts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    scope = frozenset({"alignlab", *(name.partition(".")[0] for name in starts)})
    found: dict[str, str] = {}
    ahead = list(starts)
    while ahead:
        name = ahead.pop()
        if name in found:
            continue
        found[name], imports = _module(name)
        ahead.extend(other for other in imports if other.partition(".")[0] in scope and not _excluded(other))
    return tuple(sorted(found.items()))


def forget() -> None:
    """Read every file again, for sources that change within one process."""
    for cached in (_reached, _module, _file, _tree, _spec):
        cached.cache_clear()


def _excluded(name: str) -> bool:
    return name in _FACADES or any(name == layer or name.startswith(f"{layer}.") for layer in EXCLUDED)


def _module_of(target: object) -> str:
    """Name of the module that defines a target."""
    if isinstance(target, str):
        name = target.partition(":")[0]
    elif inspect.ismodule(target):
        name = target.__name__
    else:
        target = target.func if isinstance(target, partial) else target
        name = getattr(target, "__module__", None) or type(target).__module__
    if _file(name) is None:
        raise PluginError(f"the source of {target!r} (module {name}) cannot be found", "name an installed module")
    return name


@cache
def _module(name: str) -> tuple[str, tuple[str, ...]]:
    """Hash of one module and the modules it imports, whatever their package."""
    path = _file(name)
    assert path is not None
    if path.suffix != ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16], ()
    tree = _tree(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imports = dict.fromkeys(other for node in _reached_nodes(tree) for other in _imports(node, package))
    digest = hashlib.sha256("".join(_normal(tree, [])).encode()).hexdigest()[:16]
    return digest, tuple(other for other in imports if _file(other) is not None)


@cache
def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise PluginError(f"{path} is not valid Python: {error}", "fix the file") from error


@cache
def _file(name: str) -> Path | None:
    """Source (or compiled) file of a module, None for what is not a module or has no file."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded is None:
        spec = _spec(name)
        loaded = spec.origin if spec is not None and spec.has_location else None
    return Path(loaded) if loaded is not None and Path(loaded).is_file() else None


@cache
def _spec(name: str) -> ModuleSpec | None:
    """Where a module would be loaded from, found without importing it or its packages."""
    parent, _, _ = name.rpartition(".")
    if not parent:
        return find_spec(name) if name.isidentifier() and name not in sys.modules else None
    path = getattr(sys.modules.get(parent), "__path__", None)
    if path is None:
        above = _spec(parent)
        path = above.submodule_search_locations if above is not None else None
    return PathFinder.find_spec(name, list(path)) if path is not None else None


def _reached_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that can run: imports for type checkers alone are left out."""
    ahead = [tree]
    while ahead:
        node = ahead.pop()
        yield node
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test).split(".")[-1] == "TYPE_CHECKING":
                ahead.extend(child.orelse)
            else:
                ahead.append(child)


def _imports(node: ast.AST, package: str) -> Iterator[str]:
    """Names of the modules, or of what may be modules, that one statement imports."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
            if alias.asname is None:  # the statement binds the outermost package, whose names are then in reach
                yield from accumulate(alias.name.split(".")[:-1], "{}.{}".format)
    elif isinstance(node, ast.ImportFrom):
        yield from _imports_from(node, package)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if called in _IMPORTERS and isinstance(node.args[0].value, str):
            yield node.args[0].value


def _imports_from(node: ast.ImportFrom, package: str) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, base] if base else above)
    modules = [f"{base}.{alias.name}" for alias in node.names if _file(f"{base}.{alias.name}") is not None]
    yield from modules
    if len(modules) < len(node.names) or any(_binds(base, alias.name) for alias in node.names):
        yield base


def _binds(package: str, name: str) -> bool:
    """Whether a package's own code gives `name` a meaning that could hide its sub-module."""
    path = _file(package)
    if path is None or path.suffix != ".py":
        return False
    for node in ast.walk(_tree(path)):
        names = {getattr(node, "name", None), getattr(node, "asname", None), getattr(node, "id", None)}
        if name in names or "__getattr__" in names:
            return True
    return False


def _normal(node: Any, into: list[str]) -> list[str]:
    """A syntax tree as text: no positions, no docstrings, nothing that newer versions of Python merely add.

    `ast.dump` is not used because its text changes with Python's version, and every key with it.
    """
    if isinstance(node, list):
        into.append("[")
        for item in node:
            if not _is_remark(item):
                _normal(item, into)
                into.append(",")
        into.append("]")
    elif isinstance(node, ast.AST):
        into.append(f"{type(node).__name__}(")
        for name, value in ast.iter_fields(node):
            if value is not None and value != [] and name not in _SILENT:
                into.append(f"{name}=")
                _normal(value, into)
        into.append(")")
    else:
        into.append(repr(node))
    return into


def _is_remark(node: Any) -> bool:
    """A docstring, or a bare constant or `pass` that stands for an empty body."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
