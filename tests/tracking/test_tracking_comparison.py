"""A comparison in wandb: tables and page of one run, panels as code, and the command that sends both."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_tracking_wandb import of, records

from alignlab.__main__ import main
from alignlab.config import TrackingConfig
from alignlab.errors import ConfigError, StoreError
from alignlab.tracking import sync, workspace
from alignlab.tracking.comparison import log_comparison, tables
from alignlab.tracking.tracker import open_tracker

WANDB = TrackingConfig(kind="wandb", project="lab", tags=["t"])
CONTENT: dict[str, Any] = {
    "schema": 1,
    "title": "two methods",
    "answer": "dpo gains most",
    "seeds": [0, 1],
    "baseline": None,
    "rows": [
        {
            "id": "a",
            "label": "dpo, beta 0.1",
            "name": "dpo",
            "method": "dpo",
            "tiers": ["A", "B"],
            "rank": {"low": 1, "high": 2, "mean": 1.2},
            "seeds": [0, 1],
            "metrics": {"gold": {"mean": 0.5, "low": 0.4, "high": 0.6, "by_seed": {"0": 0.4}}, "kl": None},
            "gain": {"mean": 0.2, "low": None, "high": 0.3},
            "costs": {"seconds": {"mean": 12.0}},
            "flags": [{"name": "short", "text": "…", "seeds": [0]}],
            "counts": {"done": 2, "failed": 0},
        },
        {"id": "b", "label": "ppo", "metrics": {"win_rate": {"mean": 0.6}}},
    ],
    "frontier": {
        "points": [{"id": "a", "seed": 0, "kl": 1.0, "gold": 0.2, "proxy": None}],
        "best_of_n": [{"n": 4, "kl": 0.6, "gold": 0.1, "proxy": 0.3}],
        "fits": None,
    },
    "examples": [
        {
            "prompt": "user: how\nassistant: secret\nuser: and then?",
            "kind": "harmful",
            "attack": "",
            "replies": [
                {"id": "sft", "text": "secret", "withheld": True, "scores": {"gold": -1.0}, "length": 3},
                {"id": "a", "text": "no", "scores": {"gold": 0.5, "proxy": 1.0}, "verdict": "refused"},
            ],
        }
    ],
    "against_baseline": [{"id": "a", "difference": 0.1, "low": -0.1, "high": 0.3, "p": 0.2, "separated": False}],
}


def test_tables_have_even_rows_and_withhold_what_the_page_withholds() -> None:
    found = tables(CONTENT)
    assert set(found) == {"leaderboard", "frontier", "frontier_best_of_n", "against_baseline", "samples"}
    for rows in found.values():
        assert len({tuple(row) for row in rows}) == 1
    first, second = found["leaderboard"]
    assert (first["label"], first["tiers"], first["seeds"], first["flags"]) == ("dpo, beta 0.1", "AB", 2, "short")
    assert (first["gold"], first["gold_low"], first["gold_high"], first["kl"]) == (0.5, 0.4, 0.6, None)
    assert (first["gain"], first["gain_high"], first["cost_seconds"], first["runs_done"]) == (0.2, 0.3, 12.0, 2)
    assert (second["win_rate"], second["gold"]) == (0.6, None)
    assert found["frontier"] == [
        {"label": "dpo, beta 0.1", "id": "a", "seed": 0, "kl": 1.0, "gold": 0.2, "proxy": None}
    ]
    sft, dpo = found["samples"]
    assert (sft["label"], sft["text"], sft["score_gold"], sft["score_proxy"]) == ("sft", "[withheld]", -1.0, None)
    assert (dpo["label"], dpo["text"], dpo["verdict"]) == ("dpo, beta 0.1", "no", "refused")
    assert {sft["prompt"], dpo["prompt"]} == {"[request withheld]"}
    assert "secret" not in json.dumps(found)


@pytest.mark.parametrize("content", [{}, {"rows": None, "frontier": None, "examples": [{}]}, {"rows": [{}]}])
def test_any_part_may_be_missing(content: dict[str, Any]) -> None:
    assert set(tables(content)) <= {"leaderboard"}


def test_a_comparison_is_one_offline_run_of_its_group(home: Path, server: list[str], tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<!doctype html><p>hello</p>")
    folder = log_comparison(CONTENT, tmp_path, WANDB, "sweep-7")
    assert folder is not None
    found = records(folder)
    [run] = of(found, "run")
    assert (run["run_group"], run["job_type"], run["project"]) == ("sweep-7", "comparison", "lab")
    assert run["display_name"] == "comparison of sweep-7"
    assert run["config"]["update"]["seeds"] == [0, 1]
    stored = {path.name.partition("_")[0] for path in (folder / "files/media/table/tables").iterdir()}
    assert stored == {"leaderboard", "frontier", "against", "samples"}
    [page] = (folder / "files/media/html/pages").iterdir()
    assert page.read_text() == "<!doctype html><p>hello</p>"
    assert any(record["type"] == "request" or "artifact" in record["type"] for record in found)
    assert [each["exit_code"] for each in of(found, "exit")] == [0]
    assert server == []
    left = [path for path in home.rglob("*") if path.is_file() and path.suffix != ".log"]
    assert left == [], "everything to be sent later lies below the sweep"


def test_csv_records_no_comparison(tmp_path: Path) -> None:
    assert log_comparison(CONTENT, tmp_path, TrackingConfig(), "g") is None
    assert not list(tmp_path.iterdir())


def test_the_definition_offline_names_the_command_that_sends_it(tmp_path: Path) -> None:
    where = workspace.publish(tmp_path, WANDB, "sweep-7")
    content = workspace.read_definition(Path(where))
    assert Path(where) == tmp_path / "wandb_workspace.json"
    assert content["command"] == f"python -m alignlab wandb-sync {tmp_path}"
    assert (content["project"], content["group"], content["entity"]) == ("lab", "sweep-7", None)
    panels = [panel for section in content["sections"] for panel in section["panels"]]
    assert {"kind": "scatter", "title": "gold against KL", "x": "eval/kl", "y": "eval/gold"} in panels
    assert {"kind": "runs"} in panels
    (tmp_path / "wandb_workspace.json").write_text('{"schema": 99}')
    with pytest.raises(ConfigError, match="schema version 99"):
        workspace.read_definition(Path(where))
    (tmp_path / "wandb_workspace.json").write_text("[")
    with pytest.raises(ConfigError, match="is not a definition of panels"):
        workspace.read_definition(Path(where))


def test_panels_speak_of_metrics_that_runs_log() -> None:
    panels = [panel for section in workspace.SECTIONS.values() for panel in section]
    names = {name for panel in panels for name in (panel.get("x"), *_listed(panel))} - {None}
    assert {name.partition("/")[0] for name in names} == {"eval", "train", "cost", "over_kl", "samples", "kl"}
    logged = {path.read_text() for path in Path(workspace.__file__).parents[1].glob("evaluation/*.py")}
    for name in (name for name in names if name.startswith("eval/")):
        assert any(name.removeprefix("eval/").removesuffix("2").rstrip("_") in text for text in logged), name


def _listed(panel: dict[str, Any]) -> list[str]:
    found = [panel[key] for key in ("y", "metrics") if key in panel]
    return [name for each in found for name in ([each] if isinstance(each, str) else each)]


def test_the_definition_is_a_workspace_of_wandbs_own_package(home: Path, server: list[str], tmp_path: Path) -> None:
    pytest.importorskip("wandb_workspaces", reason="alignlab[wandb] is not installed")
    content = workspace.definition(WANDB, "sweep-7", tmp_path)
    view = workspace.workspace(content, "me")._to_model()
    spec = json.loads(view.spec.model_dump_json(by_alias=True, exclude_none=True))
    [runs] = spec["section"]["runSets"]
    [chosen] = runs["filters"]["filters"]
    assert (chosen["key"], chosen["op"], chosen["value"]) == ({"section": "run", "name": "group"}, "=", "sweep-7")
    sections = spec["section"]["panelBankConfig"]["sections"]
    assert [each["name"] for each in sections] == list(workspace.SECTIONS)
    assert [len(each["panels"]) for each in sections] == [len(panels) for panels in workspace.SECTIONS.values()]
    assert server == []
    with pytest.raises(StoreError, match=r"wandb did not save the panels(.|\n)*wandb login"):
        workspace.save({**content, "entity": "me"})


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    online = TrackingConfig(kind="wandb", mode="online")
    with pytest.raises(ConfigError, match=r"need the package wandb-workspaces(.|\n)*alignlab\[wandb\]"):
        workspace.publish(tmp_path, online, "g")


@pytest.fixture
def sweep(home: Path, tmp_path: Path) -> Path:
    """A sweep folder with one offline record."""
    folder = tmp_path / "sweep"
    open_tracker(WANDB, folder / "0-dpo", config={}, name="dpo", group="g").finish()
    return folder


def test_a_dry_run_lists_what_would_be_sent(
    sweep: Path, server: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["wandb-sync", str(sweep), "--dry-run"]) == 0
    [record] = sync.unsent(sweep)
    assert f"would send {record}" in capsys.readouterr().err
    workspace.publish(sweep, WANDB, "g")
    monkeypatch.setattr(workspace, "workspace", lambda content, entity: None)
    capsys.readouterr()
    assert main(["wandb-sync", str(sweep), "--dry-run"]) == 0
    assert "would save 7 sections of panels as 'comparison of g'" in capsys.readouterr().err
    assert server == []


def test_what_was_sent_is_not_sent_again(sweep: Path) -> None:
    [record] = sync.unsent(sweep)
    [log] = record.glob("*.wandb")
    log.with_suffix(".wandb.synced").touch()
    assert sync.unsent(sweep) == []
    assert main(["wandb-sync", str(sweep)]) == 2
    assert main(["wandb-sync", str(sweep / "absent")]) == 2
    assert main(["wandb-sync"]) == 2


@pytest.mark.slow
def test_a_refusing_server_is_an_error_even_where_wandb_says_all_is_well(
    sweep: Path, server: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert main(["wandb-sync", str(sweep)]) == 1
    err = capsys.readouterr().err
    assert "wandb did not send" in err
    assert "401" in err
    assert "wandb login" in err
    assert server, "it is the one verb that asks the network"


def test_records_then_tables_then_panels(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called in which order, with wandb's own parts replaced."""
    workspace.publish(sweep, WANDB, "g")
    (sweep / "leaderboard.json").write_text(json.dumps(CONTENT))
    called: list[Any] = []

    def command(arguments: list[str], **rest: Any) -> subprocess.CompletedProcess[str]:
        called.append(arguments[1:4])
        [log] = Path(arguments[-1]).glob("*.wandb")
        log.with_suffix(".wandb.synced").touch()
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setattr(sync.subprocess, "run", command)
    monkeypatch.setattr(workspace, "workspace", lambda content, entity: None)
    monkeypatch.setattr(workspace, "save", lambda content: called.append(("panels", content["group"])) or "address")
    monkeypatch.setattr(
        sync, "log_comparison", lambda content, folder, settings, group: called.append((settings.mode, group, content))
    )
    assert main(["wandb-sync", str(sweep)]) == 0
    assert called == [["-m", "wandb", "sync"], ("online", "g", CONTENT), ("panels", "g")]
    called.clear()
    log_comparison(CONTENT, sweep, WANDB, "g")
    assert main(["wandb-sync", str(sweep)]) == 0
    assert called == [["-m", "wandb", "sync"], ("panels", "g")], "its offline record holds the tables already"
