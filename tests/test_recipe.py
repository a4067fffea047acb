"""The recipe of CONTRIBUTING.md, followed to the letter, adds a method that works."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support import OFFLINE, ROOT, TINY, alignlab


def copied(folder: Path) -> Path:
    """Step 1: a copy of `plugins/ipo` under another name, without its further presets."""
    made = folder / "mine"
    shutil.copytree(ROOT / "plugins" / "ipo", made, ignore=shutil.ignore_patterns("__pycache__"))
    for preset in (made / "conf" / "algo").glob("*.yaml"):
        if preset.stem != "ipo":
            preset.unlink()
    (made / "conf" / "algo" / "ipo.yaml").rename(made / "conf" / "algo" / "mine.yaml")
    for path in (made / "__init__.py", made / "config.py", made / "loss.py", made / "conf" / "algo" / "mine.yaml"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("ipo", "mine").replace("IPO", "Mine"), encoding="utf-8")
    return made


@pytest.mark.slow
def test_a_copy_under_another_name_trains_offline_and_on_its_own_samples(tmp_path: Path) -> None:
    copied(tmp_path / "methods")
    environment = {"ALIGNLAB_PLUGINS": str(tmp_path / "methods")}
    own = ("algo=online", "algo.objective=mine", "algo.steps=1")
    for words in (("algo=mine",), own):
        done = alignlab(*words, *TINY, *OFFLINE, "hydra.run.dir=run", cwd=tmp_path, environment=environment)
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
        assert result["run"]["name"] == words[0].removeprefix("algo=")


def test_a_method_of_the_paired_kind_is_short() -> None:
    """About 75 lines of Python: declaration, settings, loss."""
    paired = [path.parent for path in (ROOT / "plugins").glob("*/__init__.py") if 'objective="' in path.read_text()]
    lines = {
        folder.name: sum(len(path.read_text().splitlines()) for path in folder.glob("*.py") if path.stem != "exact")
        for folder in paired
        if not (folder / "module.py").is_file()
    }
    assert len(lines) >= 20
    assert sorted(lines.values())[len(lines) // 2] <= 90
    assert max(lines.values()) <= 160, lines
