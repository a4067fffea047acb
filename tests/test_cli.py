"""The command line: help, verbs, Hydra's own flags, sweeps, exit codes."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import OFFLINE, ROOT, TINY, alignlab

import alignlab as package
from alignlab import explain, registry
from alignlab.__main__ import USAGE, VERBS, main
from alignlab.errors import TrainingError
from alignlab.launch import hydra_main
from alignlab.launch.sweep import Job


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A foreign working directory and a narrow terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Hydra's --info switches debug messages on for the rest of the process."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """Replace the run by one that only notes what it was asked for; seeds above 9 fail."""
    asked: list[SimpleNamespace] = []

    def run(settings: Any, folder: Path, *, overrides: Any = (), group: str = "") -> None:
        asked.append(SimpleNamespace(settings=settings, folder=folder, overrides=list(overrides), group=group))
        if settings.seed == 10:
            raise TrainingError("the loss is not finite at step 3", "lower algo.lr")
        if settings.seed == 11:
            raise RuntimeError("a defect")
        figures = {"eval/gold": 0.25 + settings.seed, "eval/kl": 1.5}
        (folder / "result.json").write_text(json.dumps({"schema": 1, "metrics": figures}))

    monkeypatch.setattr("alignlab.run.run", run)
    return asked


def test_help_fits_a_terminal_and_names_every_verb_and_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for word in (*VERBS, *registry.presets(), "data", "trainer", "desk, files, hh, hub", "--cfg job", "-m"):
        assert word in out
    assert main(["algo=ppo", "-h"]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: python -m alignlab {verb}")
    assert max(map(len, out.splitlines())) <= 80


def test_verbs_are_listed_in_one_spelling() -> None:
    assert {*VERBS, "run"} == set(explain.VERBS)
    assert set(USAGE) <= set(VERBS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"alignlab {package.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--cfg", "job", "algo=dpo", "seed=3"], "seed: 3"),
        (["algo=dpo", "--cfg", "job", "seed=3"], "seed: 3"),
        (["-c", "hydra"], "dir: runs/sweeps"),
        (["--cfg", "job", "--package", "algo", "algo=dpo"], "label_smoothing"),
        (["--cfg", "job", "model=hf"], "path: ???"),
        (["--hydra-help"], "Hydra"),
        (["--info", "searchpath"], "plugins/dpo/conf"),
        (["--info", "defaults", "algo=dpo"], "algo/dpo"),
    ],
    ids=str,
)
def test_hydras_own_flags(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str], ran: list[SimpleNamespace]
) -> None:
    assert main(arguments) == 0
    assert expected in capsys.readouterr().out
    assert ran == []


def test_run_is_the_default_verb(ran: list[SimpleNamespace], elsewhere: Path) -> None:
    assert main(["run", "algo=dpo", "seed=4", "hydra.run.dir=here"]) == 0
    assert main(["algo=dpo", "seed=4"]) == 0
    first, second = ran
    assert first.settings == second.settings
    assert first.folder.resolve() == elsewhere / "here"
    assert second.folder.resolve().parents[1] == elsewhere / "runs"
    assert second.folder.name.endswith("-dpo-seed4")
    assert second.overrides == ["algo=dpo", "seed=4"]
    assert second.group == ""


def test_exit_codes_of_a_run(ran: list[SimpleNamespace], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["algo=dpo", "seed=10"]) == 1
    error = capsys.readouterr().err
    assert error == "error: the loss is not finite at step 3\n  remedy: lower algo.lr\n"
    assert main(["algo=dpo", "seed=11"]) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "RuntimeError: a defect" in error


def test_interrupted_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*rest: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("alignlab.run.run", run)
    assert main(["algo=dpo"]) == 130
    assert "the same command goes on where this one stopped" in capsys.readouterr().err


def test_arguments_of_the_process_are_left_alone(ran: list[SimpleNamespace]) -> None:
    before = list(sys.argv)
    main(["algo=dpo"])
    assert sys.argv == before


def test_sweep_runs_every_combination(ran: list[SimpleNamespace], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "algo=ppo,dpo", "seed=0,1", "algo.beta=0.1,0.3"]) == 0
    seen = [(job.settings.algo.name, job.settings.seed, job.settings.algo.beta) for job in ran]
    assert seen == [(name, seed, beta) for name in ("ppo", "dpo") for seed in (0, 1) for beta in (0.1, 0.3)]
    assert len({job.folder for job in ran}) == 8
    assert len({job.group for job in ran}) == 1
    out = capsys.readouterr().out
    head = next(line.split() for line in out.splitlines() if "method" in line)
    assert head == ["method", "seed", "beta", "gold", "kl", "status", "folder"]
    assert "8 of 8 jobs done" in out
    rows = [line.split() for line in out.splitlines() if " done " in line and "jobs" not in line]
    assert rows[2] == ["ppo", "1", "0.1", "1.250", "1.500", "done", "2-ppo-seed1"]


def test_flags_may_stand_anywhere(ran: list[SimpleNamespace]) -> None:
    assert main(["algo=ppo,dpo", "-m", "seed=0"]) == 0
    assert [job.settings.algo.name for job in ran] == ["ppo", "dpo"]


def test_failed_jobs_leave_the_others_and_show_in_table_and_exit_code(
    ran: list[SimpleNamespace], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", "algo=dpo", "seed=10,11,1"]) == 1
    assert [job.settings.seed for job in ran] == [10, 11, 1]
    out = capsys.readouterr().out
    assert "0-dpo-seed10 failed: the loss is not finite at step 3" in out
    assert "1-dpo-seed11 failed: RuntimeError: a defect" in out
    assert "1 of 3 jobs done, in " in out
    assert max(map(len, (line for line in out.splitlines() if "jobs done" not in line))) <= 80


def test_sweep_of_a_file(ran: list[SimpleNamespace]) -> None:
    assert main(["-m", "+sweep=kl_frontier", "seed=0", "algo.beta=0.1,0.2"]) == 0
    assert [job.settings.algo.name for job in ran] == ["ppo", "ppo", "dpo", "dpo"]


def test_interrupted_sweep_shows_what_is_complete(
    ran: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = hydra_main._job

    def job(cfg: Any) -> Job:
        if cfg.seed == 2:
            raise KeyboardInterrupt
        return original(cfg)

    monkeypatch.setattr(hydra_main, "_job", job)
    assert main(["-m", "algo=dpo", "seed=1,2,3"]) == 130
    out = capsys.readouterr().out
    assert "0-dpo-seed1" in out
    assert "3-dpo" not in out


@pytest.mark.slow
def test_sweep_trains_and_reuses_stages(elsewhere: Path) -> None:
    done = alignlab(
        "-m", "algo=ppo,dpo", "seed=0,1", "stage_seed=0", "algo.lr=1e-4", *TINY, *OFFLINE, cwd=elsewhere, path=(ROOT,)
    )
    assert done.returncode == 0, done.stderr
    assert "4 of 4 jobs done" in done.stdout
    stored = [path.name.rpartition("-")[0] for path in (elsewhere / "store" / "objects").iterdir()]
    assert stored.count("preferences") == 1
    assert stored.count("scorer") == 2
    assert stored.count("policy") == 1 + 4
    results = sorted(elsewhere.glob("runs/sweeps/*/*/result.json"))
    assert [path.parent.name for path in results] == ["0-ppo-seed0", "1-ppo-seed1", "2-dpo-seed0", "3-dpo-seed1"]
    assert {json.loads(path.read_text())["run"]["seed"] for path in results} == {0, 1}


@pytest.mark.slow
def test_warnings_are_one_line_on_stderr(elsewhere: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import warnings, alignlab.__main__ as m; m.main(['--version']); warnings.warn('look')"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == "warning: look\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
