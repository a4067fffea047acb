from __future__ import annotations

import builtins
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alignlab.config import TrackingConfig
from alignlab.errors import ConfigError, StoreError
from alignlab.tracking.metrics import MetricLog
from alignlab.tracking.tracker import Silent, open_tracker


def records(folder: Path) -> list[dict[str, Any]]:
    (log,) = folder.glob("*.wandb")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(log)]
    out = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def of(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record[kind] for record in found if record["type"] == kind]


def test_an_offline_run_is_all_there_and_nothing_leaves_the_machine(home, server, tmp_path, capsys):
    settings = TrackingConfig(kind="wandb", project="lab", group="sweep-1", tags=["a", "b"])
    directory = tmp_path / "run"
    tracker = open_tracker(settings, directory, config={"algo": {"beta": 0.1}, "seed": 3}, name="ppo-seed3")
    log = MetricLog(directory, tracker=tracker)
    for step in range(4):
        log.log_metrics({"samples": 64 * (step + 1), "train/loss": 1 / (step + 1)}, step)
    tracker.log({"eval/gold": 0.75, "eval/kl": 1.5}, 256)
    tracker.table("samples", [{"prompt": "x", "gold": None}, {"prompt": "y", "gold": 0.5}])
    tracker.table("nothing", [])
    tracker.summary({"eval/gold": 0.75, "rank": 1})
    tracker.finish()

    assert "wandb sync" in capsys.readouterr().err
    found = records(tracker.folder)
    (run,) = of(found, "run")
    assert (run["project"], run["run_group"], run["tags"]) == ("lab", "sweep-1", ["a", "b"])
    assert run["display_name"] == "ppo-seed3"
    config = run["config"]["update"]
    assert (config["algo"], config["seed"]) == ({"beta": 0.1}, 3)

    metrics = {each["name"]: each for each in of(found, "metric")}
    assert set(metrics) == {"samples", "kl", "train/loss", "eval/gold", "eval/kl", "over_kl/gold"}
    assert metrics["over_kl/gold"]["step_metric"] == "kl"
    assert {metrics[name]["step_metric"] for name in ("train/loss", "eval/gold", "eval/kl")} == {"samples"}

    history = [each["item"] for each in of(found, "history")]
    losses = [(row["samples"], row["train/loss"]) for row in history if "train/loss" in row]
    assert losses == [(64, 1.0), (128, 0.5), (192, 1 / 3), (256, 0.25)]
    (evaluated,) = [row for row in history if "eval/gold" in row]
    assert (evaluated["samples"], evaluated["eval/gold"], evaluated["eval/kl"]) == (256, 0.75, 1.5)
    assert (evaluated["kl"], evaluated["over_kl/gold"]) == (1.5, 0.75)
    assert [each["update"]["rank"] for each in of(found, "summary") if "rank" in each["update"]] == [1]
    (table,) = (tracker.folder / "files" / "media" / "table" / "tables").glob("*.json")
    assert json.loads(table.read_text())["data"] == [["x", None], ["y", 0.5]]
    assert [each["exit_code"] for each in of(found, "exit")] == [0]

    assert server == []
    left = [path for path in home.rglob("*") if path.is_file() and path.suffix != ".log"]
    assert left == [], "everything to be sent later lies in the run directory"
    assert not list(tracker.folder.rglob("*.py")), "no code is saved"


def test_scores_come_over_kl_too_in_training_and_at_the_end(home, server, tmp_path):
    tracker = open_tracker(TrackingConfig(kind="wandb"), tmp_path, config={}, name="x")
    tracker.log({"train/score": 0.1, "train/kl": 2.0, "train/loss": 1.0}, 8)
    tracker.log({"train/score": 0.2}, 16)
    tracker.log({"train/kl": 3.0}, 24)
    tracker.summary({"eval/gold": 0.5, "eval/proxy": 0.7, "eval/win_rate": None, "eval/kl": 4.0, "seed": 1})
    tracker.finish()
    rows = [each["item"] for each in of(records(tracker.folder), "history")]
    over = [{name: row[name] for name in row if name == "kl" or name.startswith("over_kl/")} for row in rows]
    assert over == [{"kl": 2.0, "over_kl/score": 0.1}, {}, {}, {"kl": 4.0, "over_kl/gold": 0.5, "over_kl/proxy": 0.7}]
    assert server == []


def test_a_failed_run_is_recorded_as_failed(home, server, tmp_path):
    tracker = open_tracker(TrackingConfig(kind="wandb", name="own name"), tmp_path, config={}, name="x", group="g")
    tracker.finish(failed=True)
    found = records(tracker.folder)
    assert [each["exit_code"] for each in of(found, "exit")] == [1]
    (run,) = of(found, "run")
    assert (run["display_name"], run["run_group"]) == ("own name", "g")
    assert server == []


def test_online_without_a_key_says_what_to_do(server, tmp_path):
    settings = TrackingConfig(kind="wandb", mode="online")
    with pytest.raises(StoreError, match=r"wandb could not start a run in mode 'online'(.|\n)*tracking.mode=offline"):
        open_tracker(settings, tmp_path, config={}, name="x")


def test_the_counting_server_would_notice(home, server, monkeypatch, tmp_path):
    """The same check with mode=online and a key that cannot be right: requests do arrive."""
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with pytest.raises(StoreError, match="wandb could not start a run in mode 'online'"):
        open_tracker(TrackingConfig(kind="wandb", mode="online"), tmp_path, config={}, name="x")
    assert server


def test_csv_needs_no_wandb_and_says_nothing(tmp_path):
    code = (
        "import sys\n"
        "from alignlab.config import TrackingConfig\n"
        "from alignlab.tracking.tracker import Silent, open_tracker\n"
        f"tracker = open_tracker(TrackingConfig(), {str(tmp_path)!r}, config={{}}, name='x')\n"
        "assert isinstance(tracker, Silent) and 'wandb' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    silent = Silent()
    silent.log({"a": 1.0}, 1)
    silent.table("t", [])
    silent.summary({})
    silent.finish(failed=True)
    assert not list(tmp_path.iterdir())


def test_a_missing_wandb_is_named(monkeypatch, tmp_path):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "wandb":
            raise ImportError("No module named 'wandb'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError, match=r"tracking=wandb needs the wandb package(.|\n)*pip install wandb"):
        open_tracker(TrackingConfig(kind="wandb"), tmp_path, config={}, name="x")
