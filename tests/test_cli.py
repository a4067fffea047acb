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
from sweeping import Here

import alignlab as package
from alignlab import explain, registry
from alignlab.__main__ import USAGE, VERBS, main
from alignlab.errors import TrainingError


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
        if settings.seed == 12:
            raise KeyboardInterrupt
        folder.mkdir(parents=True, exist_ok=True)
        identity = {"name": settings.algo.name, "method": settings.algo.method, "seed": settings.seed}
        figures = {"eval/gold": 0.25 + settings.seed, "eval/kl": 1.5}
        about = {"settings": {"algo": {"beta": getattr(settings.algo, "beta", None)}}}
        content = {"schema": 1, "run": identity, "metrics": figures, "about": about}
        (folder / "result.json").write_text(json.dumps(content))

    monkeypatch.setattr("alignlab.run.run", run)
    monkeypatch.setattr("alignlab.launch.sweep.Pool", Here)
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


def test_sweep_runs_every_combination_and_compares(
    ran: list[SimpleNamespace], capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    assert main(["-m", "algo=ppo,dpo", "seed=0,1", "algo.beta=0.1,0.3"]) == 0
    seen = [(job.settings.algo.name, job.settings.seed, job.settings.algo.beta) for job in ran]
    assert seen == [(name, seed, beta) for name in ("ppo", "dpo") for seed in (0, 1) for beta in (0.1, 0.3)]
    assert len({job.folder for job in ran}) == 8
    assert len({job.group for job in ran}) == 1
    told = capsys.readouterr()
    assert "8 jobs; " in told.err
    assert "8/8  dpo beta=0.3 seed 1  done" in told.err
    for label in ("ppo beta=0.1", "ppo beta=0.3", "dpo beta=0.1", "dpo beta=0.3"):
        assert label in told.out
    (folder,) = (elsewhere / "runs" / "sweeps").iterdir()
    written = {path.name for path in folder.iterdir() if path.is_file()}
    assert written >= {"sweep.json", "leaderboard.json", "leaderboard.csv", "leaderboard.md", "comparison.html"}


def test_the_same_command_computes_only_what_is_missing(
    ran: list[SimpleNamespace], capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    command = ["-m", "algo=dpo", "seed=0,1,2"]
    assert main(command) == 0
    (spoilt,) = elsewhere.glob("runs/sweeps/*/1-dpo-seed1/result.json")
    before = next(elsewhere.glob("runs/sweeps/*/leaderboard.csv")).read_text()
    spoilt.write_text('{"schema": 1, "run"')
    capsys.readouterr()
    assert main(command) == 0
    assert [job.settings.seed for job in ran] == [0, 1, 2, 1]
    assert "3 jobs, 2 of them done before" in capsys.readouterr().err
    assert next(elsewhere.glob("runs/sweeps/*/leaderboard.csv")).read_text() == before


def test_flags_may_stand_anywhere(ran: list[SimpleNamespace]) -> None:
    assert main(["algo=ppo,dpo", "-m", "seed=0"]) == 0
    assert [job.settings.algo.name for job in ran] == ["ppo", "dpo"]


def test_failed_jobs_leave_the_others_and_show_in_table_and_exit_code(
    ran: list[SimpleNamespace], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", "algo=dpo", "seed=10,11,1"]) == 1
    assert [job.settings.seed for job in ran] == [10, 11, 1]
    out = capsys.readouterr().out
    assert "the loss is not finite at step 3" in out
    assert "RuntimeError: a defect" in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_sweep_tracked_by_wandb_leaves_its_comparison_and_panels(
    ran: list[SimpleNamespace],
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told: list[tuple[str, int]] = []

    def log(content: Any, folder: Path, settings: Any, group: str) -> None:
        told.append((group, len(content["rows"])))
        if len(told) == 2:
            raise TrainingError("the server is gone")

    monkeypatch.setattr("alignlab.tracking.comparison.log_comparison", log)
    assert main(["-m", "algo=dpo", "seed=0,1", "tracking=wandb", "hydra.sweep.dir=here"]) == 0
    content = json.loads((elsewhere / "here" / "wandb_workspace.json").read_text())
    assert content["group"] == ran[0].group == "here"
    assert content["command"].startswith("python -m alignlab wandb-sync ")
    assert main(["-m", "algo=dpo", "seed=2", "tracking=wandb", "hydra.sweep.dir=there"]) == 0
    assert "wandb does not show this comparison: the server is gone" in capsys.readouterr().err
    assert main(["-m", "algo=dpo", "seed=3", "hydra.sweep.dir=nowhere"]) == 0
    assert told == [("here", 1), ("there", 1)]


def test_sweep_of_a_file(ran: list[SimpleNamespace]) -> None:
    assert main(["-m", "+sweep=kl_frontier", "seed=0", "algo.beta=0.1,0.2"]) == 0
    assert [job.settings.algo.name for job in ran] == ["ppo", "ppo", "dpo", "dpo"]


def test_interrupted_sweep_keeps_what_is_complete(
    ran: list[SimpleNamespace], capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    assert main(["-m", "algo=dpo", "seed=1,12,3"]) == 130
    assert "the same command goes on where this one stopped" in capsys.readouterr().err
    (folder,) = (elsewhere / "runs" / "sweeps").iterdir()
    assert main(["compare", str(folder)]) == 1, "runs are missing"
    assert "dpo" in capsys.readouterr().out


@pytest.mark.slow
def test_sweep_trains_and_reuses_stages(elsewhere: Path) -> None:
    done = alignlab(
        "-m", "algo=ppo,dpo", "seed=0,1", "stage_seed=0", "algo.lr=1e-4", *TINY, *OFFLINE, cwd=elsewhere, path=(ROOT,)
    )
    assert done.returncode == 0, done.stderr
    assert "4/4" in done.stderr
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
