"""A recorded configuration becomes the settings it was written from, or says why not."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from support import TINY

from alignlab import registry
from alignlab.compose import composed
from alignlab.config import RunConfig, preset_config, preset_values, typed
from alignlab.errors import ConfigError, PluginError
from alignlab.recorded import read_record, restored, store_of
from alignlab.stages.key import canonical

CHOICES = [
    *(
        [f"algo={name}"]
        for name in ("ppo", "f_dpo_js", "best_of_n", "iterative_dpo", "constitutional_sft", "reward_model")
    ),
    ["algo=rloo", "reward=ensemble", "reward.combine=variance"],
    ["algo=rloo", "reward=rule", "reward.rules=[{pattern: thanks, weight: 1.0}]"],
    ["reward=composite", "reward.parts=[{kind: learned}]"],
    ["annotator=policy"],
    ["annotator=rules"],
    ["stages.sft=null", "model=hf", "model.path=/nowhere", "data=hh", "data.path=/nowhere.jsonl"],
    ["algo@stages.sft=constitutional_sft", "annotator=policy", "keep=best", "+streams.data=7"],
    ["algo=online", "algo.objective=ipo", "+algo.settings.length_normalised=true"],
]


def write(folder: Path, settings: RunConfig, **changes: Any) -> Path:
    """A record as a run writes it, with some of its settings replaced by dotted key; DROP removes one."""
    config = OmegaConf.create(canonical(asdict(settings)))
    for key, value in changes.items():
        OmegaConf.update(config, key, value, force_add=True)
    folder.mkdir(exist_ok=True)
    OmegaConf.save(
        {"command": "python -m alignlab …", "config": config, "versions": {"alignlab": "0.0.1"}}, folder / "config.yaml"
    )
    return folder


def tiny(*overrides: str) -> RunConfig:
    return typed(composed([*TINY, *overrides]))


@pytest.mark.parametrize("overrides", CHOICES, ids=" ".join)
def test_settings_come_back_as_they_were(overrides: list[str], tmp_path: Path) -> None:
    settings = typed(composed(overrides))
    back, notes = restored(read_record(write(tmp_path, settings)))
    assert notes == []
    assert back == settings
    assert type(back.algo) is type(settings.algo)


def test_every_preset_comes_back(tmp_path: Path) -> None:
    around = tiny()
    for name in sorted(registry.presets()):
        composes = "policy" in preset_values(name)  # which stands for another method's settings
        settings = tiny(f"algo={name}") if composes else replace(around, algo=preset_config(name))
        assert restored(read_record(write(tmp_path, settings))) == (settings, []), name


def test_any_file_of_the_folder_names_the_run(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", tiny())
    (folder / "result.json").write_text("{}")
    assert read_record(folder / "result.json").folder == read_record(folder / "config.yaml").folder == folder
    assert read_record(folder).title == "ppo-seed0"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not the folder of a run"):
        read_record(tmp_path)
    (tmp_path / "config.yaml").write_text("seed: [")
    with pytest.raises(ConfigError, match="is not the folder of a run"):
        read_record(tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 3\n")
    with pytest.raises(ConfigError, match="holds no resolved configuration"):
        read_record(tmp_path)


def test_a_setting_that_is_gone_is_named(tmp_path: Path) -> None:
    for key in ("algo.gone", "gone", "stages.sft.gone", "rollout.gone", "data.gone"):
        folder = write(tmp_path, tiny(), **{key: 1})
        with pytest.raises(ConfigError, match=rf"recorded setting {key} no longer exists"):
            restored(read_record(folder))


def test_a_setting_that_came_later_is_noted(tmp_path: Path) -> None:
    settings = tiny("algo=dpo")
    config = canonical(asdict(settings))
    del config["algo"]["tail_weight"], config["overlap"]
    OmegaConf.save({"config": config}, tmp_path / "config.yaml")
    back, notes = restored(read_record(tmp_path))
    assert back == replace(settings, overlap=True)
    assert [note.split()[0] for note in notes] == ["overlap", "algo.tail_weight"]


def test_a_value_that_no_longer_fits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config.yaml: algo.beta"):
        restored(read_record(write(tmp_path, tiny("algo=dpo"), **{"algo.beta": -1})))
    with pytest.raises(ConfigError, match="does not fit the settings there are now"):
        restored(read_record(write(tmp_path, tiny("algo=dpo"), **{"algo.beta": "much"})))


def test_a_method_or_component_that_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="absent_method"):
        restored(read_record(write(tmp_path, tiny(), **{"algo.method": "absent_method"})))
    with pytest.raises(PluginError, match="absent_source"):
        restored(read_record(write(tmp_path, tiny(), **{"data.source": "absent_source"})))


def test_an_exact_experiment_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="experiment on the exact world"):
        restored(read_record(write(tmp_path, typed(composed(["experiment=exact"])))))


def test_the_store_is_sought_from_here_and_from_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tiny()
    (tmp_path / "project" / "runs").mkdir(parents=True)
    record = read_record(write(tmp_path / "project" / "runs" / "a", settings))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with pytest.raises(ConfigError, match=r"there is no store at store(.|\n)*--store DIR"):
        store_of(record, settings)
    (tmp_path / "project" / "store" / "objects").mkdir(parents=True)
    assert store_of(record, settings) == tmp_path / "project" / "store"
    with pytest.raises(ConfigError, match="there is no store at"):
        store_of(record, settings, tmp_path / "nothing")
