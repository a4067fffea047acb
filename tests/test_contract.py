"""What every installed method must satisfy, third-party ones included."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import small
import torch
from contract import annotator_of, trained_methods
from support import TINY

from alignlab import registry
from alignlab.catalogue import parameters
from alignlab.compose import composed
from alignlab.config import RunConfig, preset_config, preset_values, typed
from alignlab.data.schema import Split
from alignlab.method import Method, Reference, SamplerConfig, TrainedConfig
from alignlab.stages.graph import Graph
from alignlab.stages.trained import Trained

each_method = pytest.mark.parametrize("name", sorted(registry.methods()))
each_trained = pytest.mark.parametrize("name", trained_methods())
each_preset = pytest.mark.parametrize("preset", sorted(registry.presets()))
SECTIONS = ("optimises", "when", "failure", "variants", "source")


def settings_of(preset: str, *overrides: str) -> RunConfig:
    return typed(composed([f"algo={preset}", *overrides]))


def readme_of(method: Method) -> Path:
    return registry.conf_folder(method.conf).parent / "README.md"


@each_preset
def test_yaml_composes_into_the_declared_dataclass(preset: str) -> None:
    method = registry.method(registry.presets()[preset])
    config = settings_of(preset).algo
    assert type(config) is method.config
    assert (config.method, config.name) == (method.name, preset)


@each_method
def test_a_preset_bears_the_methods_name(name: str) -> None:
    assert registry.presets().get(name) == name


@each_method
def test_declaration_says_what_a_reader_needs(name: str) -> None:
    method = registry.method(name)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", method.name)
    assert 10 < len(method.summary) < 100
    assert "=" in method.equation
    assert re.match(r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}|\S+)$", method.paper)
    assert method.failures
    assert all(failure.endswith(".") for failure in method.failures)
    assert method.conventions


@each_method
def test_every_parameter_is_documented(name: str) -> None:
    method = registry.method(name)
    for spec in fields(method.config):
        if spec.name in ("method", "name"):
            continue
        assert spec.metadata.get("doc", "").endswith("."), f"{name}: {spec.name} needs param(…, 'What it means.')"
        assert {"low", "high", "search"} <= set(spec.metadata), f"{name}: declare {spec.name} with param()"


@each_method
def test_settings_are_of_the_right_kind(name: str) -> None:
    """What trains has a learning rate and the like; what acts at inference has none."""
    method = registry.method(name)
    assert issubclass(method.config, TrainedConfig if method.module else SamplerConfig)


@each_method
def test_search_ranges_lie_within_valid_ranges(name: str) -> None:
    searched = [spec for spec in fields(registry.method(name).config) if spec.metadata.get("search")]
    if issubclass(registry.method(name).config, TrainedConfig):
        assert "lr" in [spec.name for spec in searched], "the learning rate is tuned for every method that trains"
    for spec in searched:
        low, high, scale = spec.metadata["search"]
        assert spec.metadata["low"] <= low < high <= spec.metadata["high"]
        assert scale in ("linear", "log")
        assert scale == "linear" or low > 0


@each_preset
def test_a_fair_tuning_would_try_the_presets_own_values(preset: str) -> None:
    config = preset_config(preset)
    for spec in fields(config):
        if spec.metadata.get("search"):
            low, high, _ = spec.metadata["search"]
            value = getattr(config, spec.name)
            assert value is None or low <= value <= high, f"{preset}: {spec.name} lies outside its search range"


@each_preset
def test_yaml_gives_no_key_twice_and_none_that_is_unknown(preset: str) -> None:
    known = {spec.name for spec in fields(registry.method(registry.presets()[preset]).config)}
    assert set(preset_values(preset)) <= known


@each_method
def test_readme_is_one_page_about_the_method(name: str) -> None:
    text = readme_of(registry.method(name)).read_text(encoding="utf-8")
    assert registry.method(name).paper.rpartition("/")[2] in text
    assert len(text.split()) > 60
    assert len(text.splitlines()) < 120


@each_method
def test_readme_has_every_section(name: str) -> None:
    method = registry.method(name)
    if not method.config.__module__.startswith("alignlab.plugins."):
        pytest.skip("shipped methods only")
    headings = " ".join(re.findall(r"^##? (.*)$", readme_of(method).read_text(encoding="utf-8"), re.MULTILINE)).lower()
    assert not [word for word in SECTIONS if word not in headings]


def test_parameters_are_shown_as_they_are_typed() -> None:
    shown = {row.name: row for row in parameters(registry.method("ppo"))}
    assert shown["whiten_advantages"].default == "true"
    assert shown["kl_target"].default == "null"
    assert (shown["beta"].valid, shown["beta"].search) == ("[0, inf)", "0.01 to 0.5, log")
    assert shown["value_init"].valid == ""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store, so that methods share their stages."""
    return tmp_path_factory.mktemp("store")


def step_of(preset: str, store: Path) -> tuple[Graph, Any, Any]:
    """The module of a method with everything it declares, and its first batch."""
    steps = ("algo.batch_size=8", "algo.warmup=0", "algo.lr=1e-2", f"store={store}")
    settings = settings_of(preset, *TINY, *steps, *annotator_of(preset))
    graph = Graph(settings, quiet=True)
    job = Trained(graph, graph.method, settings.algo, preset, settings.seeds, Split.TRAIN)
    data = job.data()
    batch = next(iter(data.train_dataloader()))
    return graph, graph.method.load_module()(settings.algo, job.parts(total=10)), batch


def reference_of(module: Any, method: Method) -> Any:
    return module.parts.reference.model if method.needs.reference is Reference.MODEL else None


@pytest.mark.slow
@each_trained
def test_one_step_moves_the_model_and_not_the_reference(name: str, store: Path) -> None:
    graph, module, batch = step_of(name, store)
    model, reference = module.parts.model, reference_of(module, graph.method)
    start = small.weights(model)
    kept = {} if reference is None else small.weights(reference)
    logps = None if getattr(batch, "reference", None) is None else batch.reference.clone()
    rows = small.fit(module, [batch])
    after = small.weights(model)
    assert all(torch.isfinite(value).all() for value in after.values())
    assert any(not torch.equal(start[key], value) for key, value in after.items())
    assert kept == {} or all(torch.equal(kept[key], value) for key, value in small.weights(reference).items())
    assert logps is None or torch.equal(logps, batch.reference)
    assert rows
    assert {"train/loss", "samples"} <= set(rows[0])


@pytest.mark.slow
@each_trained
def test_reference_stays_out_of_checkpoints_and_in_eval_mode(name: str, store: Path) -> None:
    graph, module, _ = step_of(name, store)
    reference = reference_of(module, graph.method)
    if reference is None:
        pytest.skip("declares no reference model")
    module.train()
    assert not reference.training
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert not [key for key in module.state_dict() if "reference" in key]


@pytest.mark.slow
@each_trained
def test_what_is_not_declared_is_not_there(name: str, store: Path) -> None:
    graph, module, _ = step_of(name, store)
    needs, parts = graph.method.needs, module.parts
    assert (parts._reference is None) is (needs.reference is not Reference.MODEL)
    assert (parts._engine is None) is (not needs.rollouts)
    assert set(parts._scorers) == set(needs.scorers)
