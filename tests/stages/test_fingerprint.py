"""The source hash follows what code does and whatever is reached, and nothing else."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import alignlab.numerics
from alignlab.errors import PluginError
from alignlab.stages import fingerprint
from alignlab.stages.fingerprint import source_hash, source_hashes

FILES = {
    "zoo/__init__.py": "from zoo.unreached import nothing\n",
    "zoo/start.py": """
        from typing import TYPE_CHECKING
        from zoo.plain import double
        from . import sibling
        from .deep.down import fall as tumble
        from alignlab.errors import StoreError
        if TYPE_CHECKING:
            from zoo.typed import Hint

        def run(x):
            "Run."
            import zoo.late as late
            from importlib import import_module
            import_module("zoo.named")
            return tumble(double(x))

        class Runner:
            def go(self): ...
        """,
    "zoo/plain.py": "import os\nimport missing_elsewhere\n\ndef double(x):\n    # twice\n    return 2 * x\n",
    "zoo/sibling.py": "from zoo import start\n",
    "zoo/late.py": "LATE = 1\n",
    "zoo/named.py": "NAMED = 1\n",
    "zoo/typed.py": "class Hint: ...\n",
    "zoo/unreached.py": "nothing = None\n",
    "zoo/deep/__init__.py": "",
    "zoo/deep/down.py": "from ..facade import ledge\ndef fall(x): return ledge(x)\n",
    "zoo/facade/__init__.py": "from .inner import ledge\n",
    "zoo/facade/inner.py": "def ledge(x): return x\n",
}
REACHED = {"start", "plain", "sibling", "late", "named", "deep.down", "facade", "facade.inner"}


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """A package on the path, and a function that rewrites one of its files."""

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.splitlines()
        path.write_text("\n".join(line.removeprefix(" " * 8) for line in lines) + "\n")
        fingerprint.forget()
        sys.path_importer_cache.clear()

    for name, text in FILES.items():
        write(name, text)
    monkeypatch.syspath_prepend(tmp_path)
    yield write
    fingerprint.forget()
    for name in [name for name in sys.modules if name.partition(".")[0] == "zoo"]:
        del sys.modules[name]


def test_every_import_is_followed_within_the_package(zoo: Callable[[str, str], None]) -> None:
    assert set(source_hashes("zoo.start")) == {f"zoo.{name}" for name in REACHED}


def test_nothing_is_imported_for_it(zoo: Callable[[str, str], None]) -> None:
    source_hashes("zoo.start")
    assert not [name for name in sys.modules if name.startswith("zoo")]


@pytest.mark.parametrize("name", sorted(REACHED))
def test_changed_code_in_a_reached_file_changes_the_hash(zoo: Callable[[str, str], None], name: str) -> None:
    before = source_hash("zoo.start")
    path = f"zoo/{name.replace('.', '/')}.py" if name != "facade" else "zoo/facade/__init__.py"
    zoo(path, FILES[path].rstrip() + "\n        EXTRA = 1\n")
    assert source_hash("zoo.start") != before


def test_a_changed_number_changes_the_hash_of_its_module_alone(zoo: Callable[[str, str], None]) -> None:
    before = source_hashes("zoo.start")
    zoo("zoo/plain.py", FILES["zoo/plain.py"].replace("2 * x", "3 * x"))
    after = source_hashes("zoo.start")
    assert {name for name in before if before[name] != after[name]} == {"zoo.plain"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("zoo/unreached.py", "nothing = 1\n"),
        ("zoo/typed.py", "class Hint:\n    x = 1\n"),
        (
            "zoo/plain.py",
            '"""Doc."""\nimport os\nimport missing_elsewhere\n\n\ndef double(x):\n    "Doc."\n    return (2*x)\n',
        ),
        ("zoo/start.py", FILES["zoo/start.py"].replace('"Run."', '"Run it."').replace("...", '"Go."')),
    ],
)
def test_comments_layout_docstrings_and_unreached_files_do_not_count(
    zoo: Callable[[str, str], None], name: str, text: str
) -> None:
    before = source_hash("zoo.start")
    zoo(name, text)
    assert source_hash("zoo.start") == before


def test_the_place_of_a_package_does_not_count(
    zoo: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = source_hash("zoo.start")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "zoo").rename(tmp_path / "elsewhere" / "zoo")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    fingerprint.forget()
    assert source_hash("zoo.start") == before


def test_a_package_that_gives_a_submodules_name_another_meaning_is_reached(zoo: Callable[[str, str], None]) -> None:
    zoo("zoo/__init__.py", "sibling = 1\n")
    assert "zoo" in source_hashes("zoo.start")


def test_a_dotted_import_binds_and_so_reaches_the_packages_above(zoo: Callable[[str, str], None]) -> None:
    zoo("zoo/late.py", "import zoo.facade.inner\n")
    zoo("zoo/deep/down.py", "")
    assert {"zoo.facade.inner", "zoo.facade", "zoo"} <= set(source_hashes("zoo.late"))
    zoo("zoo/late.py", "import zoo.facade.inner as inner\n")
    assert set(source_hashes("zoo.late")) == {"zoo.late", "zoo.facade.inner"}


def test_modules_classes_functions_and_text_are_targets(zoo: Callable[[str, str], None]) -> None:
    expected = source_hash("zoo.start")
    assert source_hash("zoo.start:Runner") == expected
    zoo("zoo/plain.py", FILES["zoo/plain.py"].replace("import missing_elsewhere\n", ""))
    expected = source_hash("zoo.start")
    import zoo.start as start

    for target in (start, start.run, start.Runner, start.Runner(), functools.partial(start.run, 1)):
        assert source_hash(target) == expected


def test_order_and_repetition_of_targets_do_not_count(zoo: Callable[[str, str], None]) -> None:
    assert source_hash("zoo.late", "zoo.plain", "zoo.late") == source_hash("zoo.plain", "zoo.late")


def test_alignlab_is_followed_from_a_plugin_but_not_its_excluded_layers(zoo: Callable[[str, str], None]) -> None:
    zoo(
        "zoo/late.py",
        "from alignlab.numerics.preference import *\nfrom alignlab.registry import methods\nimport torch\n",
    )
    found = set(source_hashes("zoo.late"))
    assert {"zoo.late", "alignlab.numerics.preference"} <= found
    assert not {"alignlab", "alignlab.errors", "alignlab.registry", "torch"} & found


def test_an_excluded_module_named_outright_counts() -> None:
    assert "alignlab.errors" in source_hashes("alignlab.errors")


def test_targets_may_be_packages() -> None:
    assert "alignlab.numerics" in source_hashes(alignlab.numerics)


def test_a_target_without_source_is_refused() -> None:
    with pytest.raises(PluginError, match=r"source of 'zoo\.nowhere' .* cannot be found"):
        source_hash("zoo.nowhere")
    with pytest.raises(PluginError, match="module builtins"):
        source_hash(len)


def test_a_broken_file_is_named(zoo: Callable[[str, str], None]) -> None:
    zoo("zoo/plain.py", "def double(:\n")
    with pytest.raises(PluginError, match=r"plain\.py is not valid Python"):
        source_hash("zoo.start")


def test_the_hash_is_computed_once_a_process(zoo: Callable[[str, str], None], tmp_path: Path) -> None:
    before = source_hash("zoo.start")
    (tmp_path / "zoo" / "plain.py").write_text("changed = 1\n")
    assert source_hash("zoo.start") == before
