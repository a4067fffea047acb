"""What plugins say about where their methods go: every prediction is a policy, and nothing pulls at it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from worldly import BETA, WORLD, loss

from alignlab import registry
from alignlab.config import preset_config
from alignlab.errors import PluginError
from alignlab.exact.cases import cases, configured, in_population
from alignlab.exact.descent import of_logits
from alignlab.exact.settings import ExactConfig
from alignlab.exact.theory import predicted
from alignlab.method import PairConfig, resolve
from alignlab.worlds import exact

SETTINGS = ExactConfig(
    variants={"without_margin": {"of": "simpo", "target_margin": 0.0}, "plain": {"of": "alphapo", "target_margin": 0.0}}
)
KINKED = {"hinge"}
"""Predicted at a kink, where a gradient says nothing."""
NAMES = [case.name for case in cases(SETTINGS)]


@pytest.mark.parametrize("world", [exact.population(), exact.population(flip=0.2)], ids=["clean", "flipped"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_pulls_at_a_predicted_point(name: str, world: Any) -> None:
    config = configured(name, SETTINGS)
    method = registry.method(config.method)
    theory = predicted(method, config, world)
    if theory is None:  # no closed form under these settings
        return
    total = theory.logps.exp().sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-10)
    assert theory.words
    if not in_population(method) or method.name in KINKED:
        return
    changes = dict(SETTINGS.variants.get(name, {}))
    given = changes | ({"beta": config.beta} if hasattr(config, "beta") else {})
    problem = loss(given.pop("of", name), world, **given)
    kept = theory.logps.clamp_min(-300)  # probability that has vanished pulls no more
    local = problem.local(kept, torch.arange(len(kept)))
    gradient, _ = of_logits(kept.exp(), local)
    assert gradient.abs().sum(-1).max() < 1e-9


@pytest.mark.parametrize("name", sorted(name for name, method in registry.methods().items() if method.exact))
def test_a_theory_begins_with_a_phrase_and_goes_on_with_its_derivation(name: str) -> None:
    function = resolve(registry.method(name).exact, name)
    phrase, _, rest = (inspect.getdoc(function) or "").partition("\n\n")
    assert "\n" not in phrase
    assert len(rest) > 150
    assert next(iter(inspect.signature(function).parameters)) == "world"


def test_modifiers_a_theory_does_not_ask_about_leave_none() -> None:
    method = registry.method("ipo")
    config: Any = preset_config("ipo", beta=BETA)
    assert predicted(method, config, WORLD) is not None
    assert predicted(method, replace(config, sft_weight=0.1), WORLD) is None
    assert predicted(method, replace(config, reference_every=5), WORLD) is None
    assert predicted(method, replace(config, length_normalised=True), WORLD) is not None


def test_a_method_without_a_theory_has_none() -> None:
    assert predicted(registry.method("orpo"), preset_config("orpo"), WORLD) is None


def wrong(world: Any, *, warmth: float) -> None:
    """Asks for what is not there."""


def test_a_theory_that_asks_for_no_setting_is_refused_by_name() -> None:
    @dataclass(kw_only=True)
    class Config(PairConfig):
        method: str = "dpo"
        name: str = "dpo"

    broken = replace(registry.method("dpo"), exact=f"{__name__}:wrong")
    with pytest.raises(PluginError, match="asks for 'warmth', which is no setting"):
        predicted(broken, Config(), WORLD)
