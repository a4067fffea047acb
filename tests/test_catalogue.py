"""`python -m alignlab methods`: complete, from the declarations alone, within 80 columns."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pytest
from rich.console import Console

from alignlab import catalogue, registry
from alignlab.__main__ import main
from alignlab.config import preset_values
from alignlab.promptsets import SETS

each_method = pytest.mark.parametrize("name", sorted(registry.methods()))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal of 80 columns without colour."""
    console = Console(width=80, highlight=False, color_system=None, record=True)
    monkeypatch.setattr(catalogue, "results", console)
    return console


def shown(console: Console, *names: str) -> str:
    assert main(["methods", *names]) == 0
    return console.export_text(clear=False)


def words(text: str) -> str:
    return " ".join(text.split())


def test_every_method_and_component_is_listed(narrow: Console) -> None:
    text = shown(narrow)
    assert max(map(len, text.splitlines())) <= 80
    lines = {line.split()[0] for line in text.splitlines() if line.strip()}
    assert set(registry.methods()) <= lines
    for kind in ("sources", "rewards", "annotators", "judges", "attacks", "attackers"):
        assert f"{kind} {', '.join(sorted(registry.components(kind)))}" in words(text)
    assert f"prompt sets {', '.join(sorted(SETS))}" in words(text)


@each_method
def test_one_method_is_shown_whole(name: str, narrow: Console) -> None:
    text, method = shown(narrow, name), registry.method(name)
    assert max(map(len, text.splitlines())) <= 80
    assert words(method.equation) in words(text)
    for part in (method.paper, *method.conventions, f"algo={name}"):
        assert part in text
    for failure in method.failures:
        assert words(failure) in words(text)
    for spec in fields(method.config):
        if spec.name not in ("method", "name"):
            assert f"\n {spec.name} " in text


def test_defaults_are_those_of_the_yaml(narrow: Console) -> None:
    written = preset_values("ppo")
    row = next(line.split() for line in shown(narrow, "ppo").splitlines() if line.startswith(" steps "))
    assert row[1] == str(written["steps"])
    assert written["steps"] != registry.method("ppo").config().steps


def test_unknown_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "pp0"]) == 2
    assert "unknown method 'pp0'\n  remedy: did you mean 'ppo'?" in capsys.readouterr().err


def test_needs_in_words() -> None:
    assert catalogue.needs(registry.method("ppo")) == [
        "prompts",
        "SFT policy",
        "reference model",
        "reward model",
        "sampling",
    ]
    assert catalogue.needs(registry.method("dpo")) == ["pairs", "SFT policy", "cached reference log-probs"]
    assert catalogue.needs(registry.method("sft")) == ["demonstrations"]


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (None, "null"), (1, "1"), (1e-5, "1e-05")]
)
def test_values_as_they_are_typed(value: object, text: str) -> None:
    assert catalogue.yaml_text(value) == text


def test_a_setting_without_a_default_is_shown_as_required() -> None:
    @dataclass
    class Settings:
        rounds: int

    (spec,) = fields(Settings)
    assert catalogue.parameter(spec, spec.default).default == "???"
