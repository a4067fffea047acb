"""Which runs make a row, what it is called, and what stands beside the rows: tuning, exact worlds, failures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from finished import change, write_run, write_sweep

from alignlab.compare import labels
from alignlab.compare.assemble import assemble
from alignlab.errors import DataError


def names(content: dict[str, Any]) -> list[str]:
    return [row["label"] for row in content["rows"] if not row["control"]]


def test_null_and_a_group_of_settings_differ() -> None:
    given = [("m", {"stages.sft": None}), ("m", {"stages.sft.lr": 1.0, "stages.sft.steps": 2}), ("n", {})]
    assert labels.shown(given) == [{"stages.sft": None}, {"stages.sft": "{…}"}, {}]


def test_settings_that_few_rows_know_are_shown_only_where_labels_would_be_the_same() -> None:
    assert labels.shown([("m", {"a": 1, "new": 2}), ("m", {"a": 1})]) == [{"new": 2}, {}]
    assert labels.shown([("m", {"a": 1, "new": 2}), ("n", {"a": 1})]) == [{}, {}]
    many = {f"new{place}": place for place in range(9)}
    assert labels.shown([("m", {"a": 1, **many}), ("m", {"a": 1})]) == [{}, {}]


def test_no_two_rows_have_one_label(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "m", 0, 0.1)
    change(write_run(tmp_path / "b", "m", 0, 0.2), {"about.settings.new": {f"x{place}": place for place in range(9)}})
    write_run(tmp_path / "c", "n", 0, 0.3, settings={"beta": 0.1})
    write_run(tmp_path / "d", "n", 0, 0.3, settings={"beta": 0.10000001})
    found = names(assemble([tmp_path]))
    assert len(set(found)) == 4
    assert all(label.startswith(("m #", "n beta=0.1 #")) for label in found)


def test_the_best_weights_are_a_row_and_kept_weights_are_none(tmp_path: Path) -> None:
    for seed, keep in enumerate(("final", "none", "best")):
        change(write_run(tmp_path / keep, "m", seed, 0.1), {"about.settings.keep": keep})
    content = assemble([tmp_path])
    assert names(content) == ["m keep=best", "m keep=final"]
    assert content["rows"][1]["seeds"] == [0, 1]


def test_a_fixed_stage_seed_tells_runs_of_one_seed_apart(tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        write_run(tmp_path / f"own-{seed}", "m", seed, 0.1 * seed)
        folder = write_run(tmp_path / f"fixed-{seed}", "m", seed, 0.1 * seed + 0.01)
        change(folder, {"run.stage_seed": 9, "about.settings.stage_seed": 9})
    content = assemble([tmp_path])
    assert content["not_compared"] == []
    assert names(content) == ["m stage_seed=9", "m stage_seed=${seed}"]
    assert [row["seeds"] for row in content["rows"][:2]] == [[0, 1, 2], [0, 1, 2]]


def test_runs_on_the_exact_world_are_pointed_to(tmp_path: Path) -> None:
    write_sweep(tmp_path, [("a", 0), ("b", 0)])
    exact = tmp_path / "1-b-seed0"
    exact.mkdir()
    (exact / "exact.json").write_text('{"schema": 1}')
    (exact / "job.json").write_text(json.dumps({"status": "done", "name": "b", "seed": 0}))
    with pytest.raises(DataError, match="not run yet"):
        assemble([tmp_path])
    write_run(tmp_path / "0-a-seed0", "a", 0, 0.1)
    content = assemble([tmp_path])
    assert content["failures"] == []
    assert content["not_compared"] == [{"label": "b", "reason": "exact world: see 1-b-seed0/exact.html"}]
    with pytest.raises(DataError, match=r"exact world: see 1-b-seed0/exact\.html"):
        assemble([exact])


def tuned(folder: Path, name: str, fixed: str = "") -> None:
    """A tuning of one method with what it chose, and the sweep of the winner."""
    write_sweep(folder, [(name, 0)])
    trials = [{"selection": 0.1 * place, "reported": 0.1 * place} for place in range(3)]
    methods = {f"{name}{fixed}": {"trials": trials, "chosen": {"settings": {"beta": 0.2}, "score": 0.2, "kl": 1.0}}}
    content = {"schema": 1, "trials": 3, "sampler": "random", "sentence": f"3 trials of {name}.", "methods": methods}
    (folder / "tuning.json").write_text(json.dumps(content))


def test_every_tuning_names_its_rows_and_the_others_are_named_too(tmp_path: Path) -> None:
    for folder, name in (("first", "a"), ("second", "b")):
        tuned(tmp_path / folder, name)
        write_run(tmp_path / folder / f"0-{name}-seed0", name, 0, 0.1)
    write_run(tmp_path / "plain" / "c", "c", 0, 0.1)
    content = assemble([tmp_path / folder for folder in ("first", "second", "plain")])
    sentence = content["tuning"]["sentence"]
    assert sentence == ("first: 3 trials of a. Tuned so: a. second: 3 trials of b. Tuned so: b. Not tuned: c.")
    assert [each["label"] for each in content["tuning"]["chosen"]] == ["a (first)", "b (second)"]
    assert [each["id"] for each in content["tuning"]["curves"]] == ["a", "b"]
    assert assemble([tmp_path / "plain"])["tuning"] is None


def test_a_tuning_of_other_settings_is_none_of_a_row(tmp_path: Path) -> None:
    tuned(tmp_path, "a", " algo.beta=0.5")
    write_run(tmp_path / "0-a-seed0", "a", 0, 0.1)
    assert assemble([tmp_path])["tuning"]["sentence"].endswith("Tuned so: no row. Not tuned: a.")
