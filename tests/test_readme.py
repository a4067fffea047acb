"""README.md tells the truth: its commands run, its links lead somewhere, its table is current."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from support import OFFLINE, ONLINE, ROOT, TINY, alignlab

from alignlab import docs, registry
from alignlab.errors import ConfigError

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "plugins").glob("*/*.md"),
        *(ROOT / "tests").rglob("*.md"),
    ]
)


def commands() -> list[str]:
    """Everything in blocks of shell code, cut at &&."""
    blocks = re.findall(r"^```bash\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return [part.strip() for block in blocks for line in block.splitlines() for part in line.split("&&")]


def runs() -> list[list[str]]:
    """Arguments of every alignlab command."""
    start = "python -m alignlab "
    return [shlex.split(each.removeprefix(start)) for each in commands() if each.startswith(start)]


def transcripts(path: Path) -> Path:
    """Preference transcripts on sixty prompts."""
    rows = []
    for number in range(60):
        prompt = f"\n\nHuman: explain rivers {number} in brief\n\nAssistant:"
        rows.append({"chosen": f"{prompt} sure , it has water .", "rejected": f"{prompt} it has flour ."})
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


@pytest.mark.slow
def test_commands_run_in_a_tiny_form(tmp_path: Path) -> None:
    first, sweep, own = runs()
    done = alignlab(*first, *TINY, *ONLINE, cwd=tmp_path, path=(ROOT,))
    assert done.returncode == 0, done.stderr

    assert "seed=0,1,2" in sweep
    small = [{"seed=0,1,2": "seed=0,1", "algo.beta=0.1,0.3": "algo.beta=0.1"}.get(item, item) for item in sweep]
    done = alignlab(*small, *TINY, *OFFLINE, cwd=tmp_path, path=(ROOT,))
    assert done.returncode == 0, done.stderr
    assert "4/4  " in done.stderr

    [model] = tmp_path.glob("runs/2*/*/model")
    places = {
        "model.path=DIR": f"model.path={model}",
        "data.path=FILE": f"data.path={transcripts(tmp_path / 'hh.jsonl')}",
    }
    assert set(places) <= set(own)
    tiny = [item for item in TINY if not item.startswith(("model.", "data."))]
    done = alignlab(*(places.get(item, item) for item in own), *tiny, *OFFLINE, cwd=tmp_path, path=(ROOT,))
    assert done.returncode == 0, done.stderr


def test_two_commands_on_a_fresh_machine() -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert blocks[0] == (
        "python -m venv .venv && . .venv/bin/activate && pip install -e . && python -m alignlab algo=ppo\n"
    )
    assert blocks[1] == 'pip install -e ".[dev]" && make test\n'


def test_the_test_command_is_the_one_ci_runs() -> None:
    install, test = [
        each for each in commands() if each.startswith(("pip install -e .[", 'pip install -e ".[', "make"))
    ]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert install.replace("pip install", "pip install --quiet") in script
    assert script[-1] == test == "make test"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "\ntest: check\n\tpython -m pytest -q -n $(WORKERS) --dist loadfile\n" in makefile


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "#")):
            assert (path.parent / target.partition("#")[0]).exists(), f"{path.name} links to {target}"


def test_generated_parts_are_current() -> None:
    for path, text in docs.pages(ROOT).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: run `python -m alignlab.docs`"
    assert all(
        f"[`{name}`](plugins/{name}/README.md)" in README
        for name in registry.methods()
        if (ROOT / "plugins" / name).is_dir()
    )


def test_markers_are_needed() -> None:
    with pytest.raises(ConfigError, match=r"README\.md has no markers for the method table"):
        docs.with_table("# alignlab\n")


def test_documented_settings_exist() -> None:
    """Settings that README.md names compose."""
    from alignlab.compose import composed

    named = set(re.findall(r"`((?:trainer|tracking|data|algo)=\w+|tracking\.mode=\w+)`", README))
    assert {"trainer=gpu", "tracking=wandb", "tracking.mode=online"} <= named
    for item in named - {"algo=NAME"}:
        composed([item, *(["tracking=wandb"] if "mode" in item else [])])
