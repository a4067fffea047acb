"""Fair tuning: what is drawn, what is chosen, what runs on which seeds. Training is replaced by a formula."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sweeping import Here

from alignlab.__main__ import main
from alignlab.config import preset_config
from alignlab.errors import TrainingError
from alignlab.launch.search import Random, ranges
from alignlab.launch.sweep import planned

BEST = 5e-4
"""Learning rate at which the pretended methods do best."""


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[SimpleNamespace]:
    """Runs that only write figures: better near BEST; drift grows with the learning rate."""
    asked: list[SimpleNamespace] = []

    def run(settings: Any, folder: Path, *, overrides: Any = (), group: str = "") -> None:
        asked.append(SimpleNamespace(settings=settings, folder=folder, overrides=list(overrides)))
        algo = settings.algo
        if algo.lr > 1.9e-3:
            raise TrainingError("the loss is not finite at step 3", "lower algo.lr")
        score = 1 - abs(math.log(algo.lr / BEST))
        metrics = {"judge_score": score, "gold": 2 * score, "proxy": score, "kl": algo.lr * 4000}
        content = {
            "schema": 1,
            "run": {"name": algo.name, "method": algo.method, "seed": settings.seed, "data": "desk"},
            "metrics": {f"eval/{name}": value for name, value in metrics.items()},
            "about": {"settings": {"algo": {"name": algo.name, "lr": algo.lr}}},
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(json.dumps(content))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("alignlab.run.run", run)
    monkeypatch.setattr("alignlab.launch.sweep.Pool", Here)
    return asked


def tuning(folder: Path) -> dict[str, Any]:
    (found,) = folder.glob("runs/sweeps/*/tuning.json")
    content: dict[str, Any] = json.loads(found.read_text())
    return content


def test_every_method_gets_as_many_trials_and_the_winner_runs_on_fresh_seeds(
    ran: list[SimpleNamespace], tmp_path: Path
) -> None:
    assert main(["-m", "+tune=equal", "algo=dpo,ipo", "seed=0,1", "trials=6"]) == 0
    trials = [one for one in ran if one.settings.seed == 1000]
    final = [one for one in ran if one.settings.seed != 1000]
    assert [one.settings.algo.name for one in trials].count("dpo") == 6
    assert [one.settings.algo.name for one in trials].count("ipo") == 6
    assert {one.settings.evaluation.split for one in trials} == {"validation"}
    assert {(one.settings.evaluation.best_of, one.settings.evaluation.frontier) for one in trials} == {(0, 0)}
    assert {one.settings.evaluation.split for one in final} == {"evaluation"}
    assert [(one.settings.algo.name, one.settings.seed) for one in final] == [
        (name, seed) for name in ("dpo", "ipo") for seed in (0, 1)
    ]
    told = tuning(tmp_path)["methods"]
    for name in ("dpo", "ipo"):
        rows, chosen = told[name]["trials"], told[name]["chosen"]
        allowed = [row for row in rows if row["selection"] is not None]
        assert chosen["score"] == max(row["selection"] for row in allowed)
        assert all(row["kl"] <= 3 for row in allowed)
        lrs = {one.settings.algo.lr for one in final if one.settings.algo.name == name}
        assert lrs == {chosen["settings"]["lr"]}
    assert all(1e-4 <= row["settings"]["lr"] <= 2e-3 for row in told["dpo"]["trials"]), "the ranges of the tiny model"
    content = json.loads(next(tmp_path.glob("runs/sweeps/*/leaderboard.json")).read_text())
    assert {row["label"] for row in content["rows"]} >= {"dpo", "ipo"}
    assert len(content["tuning"]["curves"]) == 2
    assert content["seeds"] == [0, 1], "trials are not reported"


def test_the_same_command_repeats_no_trial(ran: list[SimpleNamespace], tmp_path: Path) -> None:
    command = ["-m", "+tune=equal", "algo=dpo", "seed=0", "trials=3", "ranges={lr:[1e-4,1e-3]}"]
    assert main(command) == 0
    count = len(ran)
    assert main(command) == 0
    assert len(ran) == count == 4


def test_failed_trials_and_those_that_drift_are_not_chosen(
    ran: list[SimpleNamespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", "+tune=equal", "algo=dpo", "seed=0", "trials=4", "ranges={lr:[1e-3,1.5e-3]}"]) == 0
    assert "no trial of dpo stayed within a KL of 3" in capsys.readouterr().err
    rows = tuning(tmp_path)["methods"]["dpo"]["trials"]
    assert tuning(tmp_path)["methods"]["dpo"]["chosen"]["kl"] == min(row["kl"] for row in rows)
    assert main(["-m", "+tune=equal", "algo=dpo", "seed=1", "trials=2", "ranges={lr:[1.95e-3,1.99e-3]}"]) == 0
    assert "no trial of dpo has a result: it runs with its defaults" in capsys.readouterr().err


def test_what_is_typed_is_not_searched(ran: list[SimpleNamespace]) -> None:
    assert main(["-m", "+tune=equal", "algo=dpo", "seed=0", "trials=2", "algo.lr=3e-4"]) == 0
    assert {one.settings.algo.lr for one in ran} == {3e-4}
    assert len({one.settings.algo.beta for one in ran if one.settings.seed == 1000}) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seed=1000"], "seed 1000 is both tuned on and reported"),
        (["trials=0"], "trials=0 tries nothing"),
        (["evaluation.reward_models=false"], "needs the held-out reward model"),
        (["tune.select=luck"], "tune.select must be judge_score or gold or proxy"),
        (["ranges={lr:[0,1]}"], "searched on a logarithmic scale"),
        (["ranges={lr:[2,1]}"], "ranges.lr must be two rising numbers"),
        (["tune.sampler=grid"], "tune.sampler must be random or optuna"),
        (["stage_seed=0"], "stage_seed=0 would let trials share"),
        (["evaluation.temperature=0"], "tune.kl_limit needs it"),
        (["ranges={betta:[0.1,1]}"], "no method of the sweep searches ranges.betta"),
        (["hydra/launcher=basic", "hydra/sweeper=basic", "seed=1"], "does not run by hydra/launcher"),
    ],
    ids=str,
)
def test_searches_that_cannot_be_fair_are_refused(
    arguments: list[str], message: str, ran: list[SimpleNamespace], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", "+tune=equal", "algo=dpo", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not ran


def test_rows_of_one_method_are_tuned_apart(ran: list[SimpleNamespace], tmp_path: Path) -> None:
    assert main(["-m", "+tune=equal", "algo=dpo", "data.pairs=100,200", "seed=0", "trials=2"]) == 0
    assert list(tuning(tmp_path)["methods"]) == ["dpo data.pairs=100", "dpo data.pairs=200"]
    assert len(ran) == 2 * 2 + 2


def test_a_score_that_runs_do_not_have_chooses_nothing(
    ran: list[SimpleNamespace], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alignlab.launch.tune.Trial.mean", lambda self, name: None if name == "gold" else 1.0)
    assert main(["-m", "+tune=equal", "algo=dpo", "seed=0", "trials=5", "tune.select=gold"]) == 2
    assert "runs of dpo have no gold" in capsys.readouterr().err
    assert len(ran) == 1, "seen after the first trial"


def test_a_single_run_is_not_tuned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["+tune=equal", "algo=dpo"]) == 2
    assert "add -m to run them" in capsys.readouterr().err


def test_random_trials_depend_on_method_setting_and_number_alone() -> None:
    searched = ranges(preset_config("dpo"), {}, [])
    first = Random("dpo", searched, 0)
    assert {each.name for each in searched} >= {"lr", "beta"}
    assert first.draw(3) == Random("dpo", searched, 0).draw(3) != first.draw(4)
    alone = Random("dpo", [each for each in searched if each.name == "beta"], 0)
    assert alone.draw(3)["beta"] == first.draw(3)["beta"], "another setting moves no other"
    assert Random("ipo", searched, 0).draw(3) != first.draw(3) != Random("dpo", searched, 1).draw(3)
    draws = [first.draw(trial)["beta"] for trial in range(400)]
    low, high = next((each.low, each.high) for each in searched if each.name == "beta")
    assert low <= min(draws) < low * 1.1
    assert high * 0.9 < max(draws) <= high
    assert 0.4 < sum(each < math.sqrt(low * high) for each in draws) / 400 < 0.6, "evenly on the logarithmic scale"


def test_adaptive_search_learns_from_what_it_is_told(ran: list[SimpleNamespace], tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    assert main(["-m", "+tune=equal", "tune.sampler=optuna", "algo=dpo", "seed=0", "trials=5"]) == 0
    content = json.loads(next(tmp_path.glob("runs/sweeps/*/leaderboard.json")).read_text())
    assert content["tuning"]["curves"] == [], "trials that learn from others have no curve over their number"


def test_a_tuned_sweep_has_a_folder_of_its_own() -> None:
    plain, tuned, more = (
        planned(["algo=dpo", "seed=0", *words]).jobs[0].folder.parent.name
        for words in ([], ["+tune=equal", "trials=2"], ["+tune=equal", "trials=3"])
    )
    assert len({plain, tuned, more}) == 3
    assert "tuned" in tuned
