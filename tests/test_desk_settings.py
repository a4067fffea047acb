"""On the desk world every shipped method runs at the scale of a tiny model, and comparisons compare what they name."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from support import ROOT

from alignlab import registry
from alignlab.compose import composed
from alignlab.config import preset_values, typed
from alignlab.method import MethodConfig, Output, TrainedConfig

LIBRARIES = ("trl", "nemo", "verl", "openrlhf", "open_instruct")
SIZES = {"lr", "epochs", "steps", "batch_size", "group_size", "beta", "odds_weight"}
"""What a convention takes from the settings of its method: how far and on how much, not what is computed."""
SHIPPED = {path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py")}
PRESETS = sorted(name for name, owner in registry.presets().items() if owner in SHIPPED)
CONVENTIONS = [name for name in PRESETS if name.endswith(tuple(f"_{library}" for library in LIBRARIES))]


def trains_a_policy(preset: str) -> bool:
    method = registry.method(registry.presets()[preset])
    return method.output is Output.POLICY and issubclass(method.config, TrainedConfig)


@cache
def algo(preset: str, *beside: str) -> MethodConfig:
    return typed(composed([f"algo={preset}", *beside])).algo


@pytest.mark.parametrize("preset", [name for name in PRESETS if trains_a_policy(name)])
def test_learning_rates_are_those_of_tiny_models(preset: str) -> None:
    """Rates for pretrained models, up to 2e-5 in the presets, teach a tiny model from fresh weights nothing."""
    config = algo(preset)
    assert isinstance(config, TrainedConfig)
    assert config.lr > 2e-5


def test_conventions_are_found() -> None:
    assert {"grpo_trl", "dpo_nemo", "ppo_verl", "rloo_openrlhf", "dpo_open_instruct"} <= set(CONVENTIONS)


@pytest.mark.parametrize("preset", CONVENTIONS)
def test_a_convention_keeps_what_makes_it_one(preset: str) -> None:
    desk, own = algo(preset), preset_values(preset)
    changed = {spec.name for spec in fields(desk) if spec.name in own and getattr(desk, spec.name) != own[spec.name]}
    assert "lr" in changed
    assert changed <= SIZES


@pytest.mark.parametrize("preset", CONVENTIONS)
def test_a_convention_trains_as_long_and_as_far_as_the_method_it_varies(preset: str) -> None:
    path = ROOT / "conf" / "tuned" / f"desk-tiny-{preset}.yaml"
    model = algo(source_of(path))
    desk = algo(preset)
    shared = SIZES & {spec.name for spec in fields(desk)}
    assert {name: getattr(desk, name) for name in shared} == {name: getattr(model, name) for name in shared}


def source_of(path: Path) -> str:
    """The method whose desk settings a file starts from."""
    line = next(line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("  - desk-tiny-"))
    return line.removeprefix("  - desk-tiny-")


@pytest.mark.parametrize("objective", ["dpo", "ipo", "simpo"])
def test_an_objective_on_own_samples_keeps_its_beta(objective: str) -> None:
    """What is tuned for one objective says nothing of another's unit."""
    assert getattr(algo("online", f"algo.objective={objective}"), "beta", 0) is None
