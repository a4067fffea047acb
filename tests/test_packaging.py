"""What is published works: built, installed into an environment without the checkout, run from a foreign directory."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from support import ONLINE, ROOT, TINY, alignlab

import alignlab as package

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel that is built from it."""
    out, source = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("source") / "alignlab"
    ignored = shutil.ignore_patterns(".git", ".venv", "runs", "store", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, source, ignore=ignored)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the wheel, which borrows the dependencies of this one."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True, timeout=120)
    interpreter = home / "bin" / "python"
    [wheel] = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True, timeout=120)
    [site] = home.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return interpreter


def test_wheel_holds_core_conf_and_plugins(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    conf = {f"alignlab/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")}
    plugins = {
        f"alignlab/plugins/{path.relative_to(ROOT / 'plugins')}"
        for suffix in ("py", "yaml", "md")
        for path in (ROOT / "plugins").rglob(f"*.{suffix}")
    }
    core = {
        str(path.relative_to(ROOT))
        for suffix in ("py", "html", "js", "css")
        for path in (ROOT / "alignlab").rglob(f"*.{suffix}")
    }
    assert conf | plugins | core | {"alignlab/py.typed"} <= names
    assert not [name for name in names if name.endswith(".pyc") or not name.startswith("alignlab")]


def test_source_distribution_is_complete(built: Path) -> None:
    [source] = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "docs/methods.md",
        "pyproject.toml",
    )
    assert set(wanted) <= names
    assert {"tests/test_packaging.py", "tests/example_plugin/pyproject.toml", "conf/config.yaml"} <= names


def test_wheel_is_what_runs(python: Path, tmp_path: Path) -> None:
    code = "import alignlab.compose as c, alignlab.plugins as p; print(c.__file__, c.conf_folder(), *p.__path__)"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert all(Path(part).is_relative_to(python.parents[1]) for part in done.stdout.split())


def test_verbs_from_a_foreign_directory(python: Path, tmp_path: Path) -> None:
    listed = alignlab("methods", cwd=tmp_path, python=python)
    assert listed.returncode == 0, listed.stderr
    assert {"dpo", "ppo", "sft"} <= set(listed.stdout.split())
    helped = alignlab("--help", cwd=tmp_path, python=python)
    assert "data        desk, files, hh, hub" in helped.stdout
    script = subprocess.run(
        [python.parent / "alignlab", "--version"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert script.stdout == f"alignlab {package.__version__}\n"


def test_docs_need_a_checkout(python: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [python, "-m", "alignlab.docs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no documentation beside" in done.stderr
    assert "remedy: run this in a checkout of alignlab" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_from_a_foreign_directory(python: Path, tmp_path: Path) -> None:
    tiny = [item for item in TINY if item != "overlap=false"]
    done = alignlab("algo=ppo", *tiny, *ONLINE, cwd=tmp_path, python=python)
    assert done.returncode == 0, done.stderr
    assert "ppo on desk, seed 0" in done.stdout
    assert "second process failed" not in done.stderr
    [result] = tmp_path.glob("runs/*/*/result.json")
    assert (result.parent / "model" / "config.json").is_file()
