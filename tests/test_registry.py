"""A plugin system is trustworthy when its failures are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from support import OFFLINE, ONLINE, ROOT, TINY, alignlab

from alignlab import registry
from alignlab.errors import PluginError
from alignlab.registry import METHODS, PluginWarning, catalogue

EXAMPLE = ROOT / "tests" / "example_plugin"
DPO = EntryPoint("dpo", "alignlab.plugins.dpo:METHOD", METHODS)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Discovery starts anew and leaves nothing behind."""
    monkeypatch.delenv("ALIGNLAB_PLUGINS", raising=False)
    registry.forget()
    yield
    registry.forget()
    for name in [name for name in sys.modules if name.startswith("alignlab.plugins.t_")]:
        del sys.modules[name]


@pytest.fixture
def candidates(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Replace discovery by a list the test controls."""
    found: list[EntryPoint] = []
    monkeypatch.setattr(registry, "_candidates", lambda group: iter(found if group == METHODS else ()))
    return found


def plugin(folder: Path, name: str, *, declared: str = "", preset: str = "") -> Path:
    """A copy of a shipped method under other names, as a folder plugin."""
    source = ROOT / "plugins" / "dpo"
    target = folder / name
    (target / "conf" / "algo").mkdir(parents=True)
    declared, preset = declared or name, preset or declared or name
    for path in source.glob("*.py"):
        text = path.read_text().replace("plugins.dpo", f"plugins.{name}").replace('"dpo"', f'"{declared}"')
        (target / path.name).write_text(text)
    text = (source / "conf" / "algo" / "dpo.yaml").read_text().replace("algo/dpo@", f"algo/{declared}@")
    text = text.replace("method: dpo", f"method: {declared}").replace("name: dpo", f"name: {preset}")
    (target / "conf" / "algo" / f"{preset}.yaml").write_text(text)
    return target


def test_shipped_methods_are_found() -> None:
    assert {"sft", "reward_model", "dpo", "ppo"} <= set(registry.methods())
    assert all(name == declared.name for name, declared in registry.methods().items())


def test_broken_plugin_is_named_and_skipped_unless_asked_for(candidates: list[EntryPoint]) -> None:
    candidates += [EntryPoint("ghost", "no_such_package:METHOD", METHODS), DPO]
    with pytest.warns(PluginWarning, match="skipping plugin 'ghost' of alignlab.methods: ModuleNotFoundError"):
        assert set(registry.methods()) == {"dpo"}
    with pytest.raises(PluginError, match=r"method 'ghost' could not be loaded: .*no_such_package") as caught:
        registry.method("ghost")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_declaration_of_the_wrong_type_is_refused(candidates: list[EntryPoint]) -> None:
    candidates += [EntryPoint("odd", "alignlab.worlds.desk:JUDGE", METHODS), DPO]
    with pytest.warns(PluginWarning, match="desk:JUDGE must be an alignlab Method, got Component"):
        assert set(registry.methods()) == {"dpo"}
    with pytest.raises(PluginError, match="method 'odd' could not be loaded"):
        registry.method("odd")


def test_two_plugins_with_one_name_are_both_named(candidates: list[EntryPoint]) -> None:
    candidates += [DPO, DPO]
    message = r"claim the name 'dpo' in alignlab.methods: alignlab.plugins.dpo:METHOD and alignlab.plugins.dpo:METHOD"
    with pytest.raises(PluginError, match=message):
        registry.methods()


def test_unknown_method_suggests_the_nearest() -> None:
    with pytest.raises(PluginError, match=r"unknown method 'pp0'\n  remedy: did you mean 'ppo'\?"):
        registry.method("pp0")


def test_unknown_component_suggests_the_nearest() -> None:
    with pytest.raises(PluginError, match=r"unknown judge 'phrase'\n  remedy: did you mean 'phrases'\?"):
        registry.component("judges", "phrase")


def test_folder_plugin_is_found_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, "t_mine")
    monkeypatch.setenv("ALIGNLAB_PLUGINS", str(tmp_path))
    assert registry.method("t_mine").config.__module__ == "alignlab.plugins.t_mine.config"
    assert registry.presets()["t_mine"] == "t_mine"
    monkeypatch.delenv("ALIGNLAB_PLUGINS")
    registry.forget()
    assert "t_mine" not in registry.methods()


def test_one_folder_under_two_paths_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path / "real", "t_once")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("ALIGNLAB_PLUGINS", f"{tmp_path / 'real'}{os.pathsep}{tmp_path / 'link'}")
    assert "t_once" in registry.methods()


def test_missing_plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGNLAB_PLUGINS", str(tmp_path / "nowhere"))
    with pytest.raises(PluginError, match=r"ALIGNLAB_PLUGINS names '.*nowhere', which is no folder"):
        registry.methods()


def test_plugin_folder_named_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGNLAB_PLUGINS", str(plugin(tmp_path, "t_self")))
    with pytest.raises(PluginError, match=f"is a plugin itself\n  remedy: name the folder that holds it: {tmp_path}"):
        registry.methods()


def test_folder_that_clashes_with_a_shipped_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, "dpo")
    monkeypatch.setenv("ALIGNLAB_PLUGINS", str(tmp_path))
    with pytest.raises(PluginError, match=f"two plugin folders hold 'dpo': .*plugins and {tmp_path}"):
        registry.methods()


def test_declared_name_that_clashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, "t_other", declared="dpo")
    monkeypatch.setenv("ALIGNLAB_PLUGINS", str(tmp_path))
    with pytest.raises(PluginError, match=r"claim the name 'dpo' .*plugins.dpo:METHOD and .*plugins.t_other:METHOD"):
        registry.methods()


def test_duplicate_preset_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, "t_variant", preset="dpo")
    monkeypatch.setenv("ALIGNLAB_PLUGINS", str(tmp_path))
    with pytest.raises(PluginError, match=r"methods 'dpo' and 't_variant' both ship algo/dpo\.yaml"):
        registry.presets()


@pytest.mark.parametrize("damage", ["no_yaml", "no_package"])
def test_plugin_without_its_yaml_is_skipped(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = plugin(tmp_path, "t_bare")
    if damage == "no_yaml":
        (target / "conf" / "algo" / "t_bare.yaml").unlink()
    else:
        text = (target / "__init__.py").read_text().replace("pkg://alignlab.plugins.t_bare.conf", "pkg://absent.conf")
        (target / "__init__.py").write_text(text)
    monkeypatch.setenv("ALIGNLAB_PLUGINS", str(tmp_path))
    with pytest.warns(PluginWarning, match="skipping plugin 't_bare' .*where no algo/‹preset›.yaml is found"):
        assert "t_bare" not in registry.methods()
    assert "t_bare" not in registry.presets()


def test_mapping_of_declarations_adds_each() -> None:
    assert {"direct", "stack"} <= set(catalogue("alignlab.attacks").found)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package, built and installed by pip into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    source = tmp_path_factory.mktemp("source") / "example"
    subprocess.run(["cp", "-r", EXAMPLE, source], check=True)
    subprocess.run([*command, "--target", target, source], check=True)
    return target


def run(*arguments: str, cwd: Path, site: Path) -> str:
    """Output of a command that must succeed, with the example package installed."""
    done = alignlab(*arguments, cwd=cwd, path=(site, ROOT))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_installed_package_adds_a_method_and_a_reward(installed: Path, tmp_path: Path) -> None:
    listed = run("methods", cwd=tmp_path, site=installed)
    assert "ipo_example" in listed
    assert "brevity, composite, directory" in listed
    assert "https://arxiv.org/abs/2310.12036" in run("methods", "ipo_example", cwd=tmp_path, site=installed)
    assert "brevity, composite, directory" in run("--help", cwd=tmp_path, site=installed)
    report = run("algo=ipo_example", "algo.lr=1e-3", *TINY, *OFFLINE, cwd=tmp_path, site=installed)
    assert "ipo_example on desk, seed 0" in report
    [folder] = tmp_path.glob("runs/*/*")
    assert (folder / "result.json").is_file()
    brief = ("algo=ppo", "reward=brevity", "reward.per_token=0.2", "algo.value_init=sft")
    run(*brief, *TINY, *ONLINE, cwd=tmp_path, site=installed)
    refused = alignlab(*brief, "reward.per_token=-1", cwd=tmp_path, path=(installed, ROOT))
    assert "reward.per_token must lie in [0, inf), got -1" in refused.stderr


@pytest.mark.slow
def test_folder_plugin_runs_with_its_second_process(tmp_path: Path) -> None:
    plugin(tmp_path / "mine", "t_run")
    tiny = [item for item in TINY if item != "overlap=false"]
    environment = {"ALIGNLAB_PLUGINS": str(tmp_path / "mine")}
    done = alignlab("algo=t_run", *tiny, *OFFLINE, cwd=tmp_path, path=(ROOT,), environment=environment)
    assert done.returncode == 0, done.stderr
    assert "second process failed" not in done.stderr
    assert "t_run on desk, seed 0" in done.stdout


@pytest.mark.slow
def test_broken_folder_plugin_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "mine" / "t_bad").mkdir(parents=True)
    (tmp_path / "mine" / "t_bad" / "__init__.py").write_text("raise RuntimeError('half written')\n")
    environment = {"ALIGNLAB_PLUGINS": str(tmp_path / "mine")}
    listed = alignlab("methods", cwd=tmp_path, path=(ROOT,), environment=environment)
    assert listed.returncode == 0
    assert "warning: skipping plugin 't_bad' of alignlab.methods: RuntimeError('half written')" in listed.stderr
    asked = alignlab("algo=t_bad", cwd=tmp_path, path=(ROOT,), environment=environment)
    assert asked.returncode == 2
    assert "error: method 't_bad' could not be loaded: RuntimeError('half written')" in asked.stderr
    assert 't_bad/__init__.py", line 1' in asked.stderr


def test_a_scorer_that_no_stage_trains_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from dataclasses import replace

    from alignlab.compose import composed
    from alignlab.config import typed
    from alignlab.stages.graph import Graph

    settings = typed(composed(["algo=ppo", f"store={tmp_path / 'store'}"]))
    declared = registry.method("ppo")
    wanting = replace(declared, needs=replace(declared.needs, scorers=("reward", "taste")))
    monkeypatch.setattr(registry, "method", lambda name: wanting)
    with pytest.raises(PluginError, match="needs the scorer 'taste', and no stage trains one"):
        Graph(settings, quiet=True)
