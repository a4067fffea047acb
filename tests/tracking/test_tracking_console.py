from __future__ import annotations

import subprocess
import sys

import pytest

from alignlab.tracking import console


def test_notes_and_warnings_go_to_stderr_verbatim(capsys):
    console.say("beta must lie in [0, 1), got [red]2[/red]")
    console.warn("3 of 10 pairs dropped [sic]")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "beta must lie in [0, 1), got [red]2[/red]\nwarning: 3 of 10 pairs dropped [sic]\n"


def test_long_notes_are_not_broken(capsys):
    console.say("x" * 300)
    assert capsys.readouterr().err == "x" * 300 + "\n"


@pytest.mark.parametrize(
    ("variables", "speaks"),
    [({}, True), ({"RANK": "0"}, True), ({"RANK": "1"}, False), ({"LOCAL_RANK": "1"}, False), ({"RANK": ""}, True)],
)
def test_only_the_first_process_speaks(monkeypatch, capsys, variables, speaks):
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    console.say("hello")
    console.warn("careful")
    assert bool(capsys.readouterr().err) is speaks


def test_results_go_to_stdout(capsys):
    console.results.print("figures")
    assert capsys.readouterr() == ("figures\n", "")


@pytest.mark.parametrize(("variables", "colour"), [({"NO_COLOR": "1"}, False), ({}, True)])
def test_no_color_is_respected(variables, colour):
    code = "from alignlab.tracking.console import warn; warn('careful')"
    base = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "PATH": ""}
    run = subprocess.run([sys.executable, "-c", code], env={**base, **variables}, capture_output=True, check=True)
    assert (b"33m" in run.stderr) is colour


def test_importing_the_console_imports_neither_torch_nor_lightning_nor_wandb():
    code = (
        "import sys, alignlab.tracking.console, alignlab.tracking.progress, alignlab.tracking.tracker\n"
        "import alignlab.evaluation.record, alignlab.evaluation.summary, alignlab.evaluation.report\n"
        "import alignlab.evaluation.result, alignlab.judges, alignlab.judges.phrases, alignlab.judges.labels\n"
        "heavy = {'torch', 'lightning', 'wandb', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
