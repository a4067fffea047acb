"""Settings of rewards: checked before anything is computed, named by where they stand, part of every address."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from alignlab import registry
from alignlab.compose import composed
from alignlab.config import RunConfig, typed
from alignlab.errors import AlignlabError, ConfigError
from alignlab.rewards.config import RewardConfig, check_value_start, trained_models
from alignlab.rewards.kinds import (
    Combine,
    CompositeConfig,
    EnsembleConfig,
    GoldConfig,
    LearnedConfig,
    LengthPenalisedConfig,
    RuleConfig,
)
from alignlab.run_folder import identity

RULES: list[tuple[list[Any], str, str]] = [
    ([], r"reward\.rules is empty", r"reward\.rules=\[\{pattern"),
    ([3], r"reward\.rules\[0\]=3 is not a group of settings", r"pattern, ending, max_tokens, weight"),
    ([{"ending": "x"}, {"endng": "x"}], r"unknown setting reward\.rules\[1\]\.endng", r"did you mean 'ending'\?"),
    ([{"pattern": "x", "ending": "y"}], r"reward\.rules\[0\] sets pattern and ending", r"exactly one of"),
    ([{"weight": 1}], r"reward\.rules\[0\] sets no condition", r"exactly one of"),
    ([{"ending": ""}], r"reward\.rules\[0\]\.ending is empty", r"text of the ending"),
    ([{"pattern": "("}], r"reward\.rules\[0\]\.pattern='\(' is no regular expression: missing \)", r"bracket"),
    ([{"max_tokens": 0}], r"reward\.rules\[0\]\.max_tokens must lie in \[1, inf\), got 0", r"end token included"),
    ([{"max_tokens": 4, "weight": "a"}], r"reward\.rules\[0\]\.weight: Value 'a'", r"pattern, ending"),
    ([{"max_tokens": 4, "weight": math.nan}], r"reward\.rules\[0\]\.weight must lie in", r"negative punishes"),
]
PARTS: list[tuple[list[Any], str, str]] = [
    ([], r"reward\.parts is empty", r"\{kind: learned\}"),
    ([{"weight": 1}], r"reward\.parts\[0\]\.kind has no value", r"write kind"),
    ([{"kind": "lerned"}], r"reward\.parts\[0\]\.kind: unknown reward 'lerned'", r"did you mean 'learned'\?"),
    ([{"kind": "gold", "weigth": 1}], r"unknown setting reward\.parts\[0\]\.weigth", r"did you mean 'weight'\?"),
    ([{"kind": "gold", "weight": math.inf}], r"reward\.parts\[0\]\.weight must lie in", r"multiplied"),
    (
        [{"kind": "learned", "settings": {"scale": True}}],
        r"reward\.parts\[0\]\.settings\.scale is no setting of a part",
        r"reward\.scale=",
    ),
    ([{"kind": "learned", "settings": {"kind": "gold"}}], r"settings\.kind is no setting of", r"parts\[0\]\.kind"),
    (
        [{"kind": "gold"}, {"kind": "ensemble", "settings": {"members": 0}}],
        r"reward\.parts\[1\]\.settings\.members must lie in \[2, inf\), got 0",
        r"reward\.parts\[1\]\.settings\.members=3",
    ),
    (
        [{"kind": "ensemble", "settings": {"membrs": 4}}],
        r"unknown setting reward\.parts\[0\]\.settings\.membrs",
        r"did you mean 'members'\?",
    ),
    ([{"kind": "directory"}], r"reward\.parts\[0\]\.settings\.path has no value", r"write path"),
    (
        [{"kind": "rule", "settings": {"rules": [{"pattern": "("}]}}],
        r"reward\.parts\[0\]\.settings\.rules\[0\]\.pattern='\(' is no regular expression",
        r"bracket",
    ),
]


def refused(build: Callable[[], Any], message: str, remedy: str) -> None:
    with pytest.raises(AlignlabError, match=message) as caught:
        build()
    assert re.search(remedy, caught.value.remedy), caught.value.remedy


@pytest.mark.parametrize(("rules", "message", "remedy"), RULES, ids=str)
def test_a_mistake_in_a_rule_is_named_by_its_place(rules: list[Any], message: str, remedy: str) -> None:
    refused(lambda: RuleConfig(rules=rules), message, remedy)


@pytest.mark.parametrize(("parts", "message", "remedy"), PARTS, ids=str)
def test_a_mistake_in_a_part_is_named_by_its_place(parts: list[Any], message: str, remedy: str) -> None:
    refused(lambda: CompositeConfig(parts=parts), message, remedy)


@pytest.mark.parametrize(("kind", "key"), [("rule", "rules"), ("composite", "parts"), ("directory", "path")])
def test_what_has_no_default_is_asked_for(kind: str, key: str) -> None:
    refused(lambda: settings(f"reward={kind}"), rf"reward\.{key} has no value", rf"Pass reward\.{key}=")


def test_a_mistake_on_the_command_line_is_named_too() -> None:
    parts = "reward.parts=[{kind: rule, weight: 0.5, settings: {rules: [{max_tokens: 0}]}}]"
    refused(
        lambda: settings("reward=composite", parts), r"reward\.parts\[0\]\.settings\.rules\[0\]\.max_tokens must", "end"
    )


def settings(*overrides: str) -> RunConfig:
    return typed(composed(["algo=dpo", *overrides]))


@pytest.mark.parametrize(
    ("override", "kind", "models", "text", "source"),
    [
        ("learned", LearnedConfig, 1, False, False),
        ("gold", GoldConfig, 0, True, True),
        ("ensemble", EnsembleConfig, 3, False, False),
        ("length_penalised", LengthPenalisedConfig, 1, False, False),
    ],
)
def test_settings_say_what_a_reward_asks_for(
    override: str, kind: type[RewardConfig], models: int, text: bool, source: bool
) -> None:
    found = settings(f"reward={override}").reward
    assert type(found) is kind is registry.component("rewards", override).config
    assert (found.models, found.reads_text, found.reads_source) == (models, text, source)
    assert found.kind == override
    assert found.changed() == {}


def test_parts_are_typed_and_share_reward_models() -> None:
    given = (
        "[{kind: ensemble, weight: 2, settings: {members: 2}}, {kind: learned}, {kind: rule, settings: {rules: "
        "[{ending: yes}]}}, {kind: composite, settings: {parts: [{kind: length_penalised, settings: {target: 5}}]}}]"
    )
    found = settings("reward=composite", f"reward.parts={given}").reward
    assert [type(each).__name__ for each in found.inner] == [
        "EnsembleConfig",
        "LearnedConfig",
        "RuleConfig",
        "CompositeConfig",
    ]
    assert (found.models, trained_models(found)) == (0, 2)
    assert found.inner[3].inner == [LengthPenalisedConfig(target=5)]


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (LearnedConfig(), 1),
        (LengthPenalisedConfig(), 1),
        (CompositeConfig(parts=[{"kind": "learned"}, {"kind": "length_penalised"}, {"kind": "gold"}]), 1),
        (GoldConfig(), 0),
        (EnsembleConfig(), 3),
        (CompositeConfig(parts=[{"kind": "learned"}, {"kind": "ensemble"}]), 3),
        (CompositeConfig(parts=[{"kind": "gold"}]), 0),
    ],
    ids=str,
)
def test_a_value_model_starts_from_exactly_one_reward_model(config: RewardConfig, count: int) -> None:
    if count == 1:
        check_value_start(config)
        return
    message = r"needs a reward model, and reward=\w+ is none" if not count else rf"needs one .* reads {count}"
    with pytest.raises(ConfigError, match=rf"algo\.value_init=reward {message}(.|\n)*pass algo\.value_init=sft"):
        check_value_start(config)


def test_an_address_holds_what_decides_scores_and_nothing_else() -> None:
    assert LearnedConfig(scale=True, pairs_check=0.6).address() == {}
    assert LengthPenalisedConfig(coef=0.5, target=3, pairs_check=0.9).address() == {"coef": 0.5, "target": 3}
    mean = EnsembleConfig(members=2, coef=9.0).address()
    assert mean == {"members": 2, "combine": Combine.mean}
    priced = EnsembleConfig(combine=Combine.variance, coef=9.0).address()
    assert priced == {"members": 3, "combine": Combine.variance, "coef": 9.0}
    rules = RuleConfig(rules=[{"ending": "."}, {"pattern": "a", "weight": 2}]).address()
    assert rules == {"rules": [{"ending": ".", "weight": 1.0}, {"pattern": "a", "weight": 2.0}]}
    sums = CompositeConfig(parts=[{"kind": "length_penalised", "weight": 3, "settings": {"target": 4}}]).address()
    assert sums == {"parts": [{"kind": "length_penalised", "weight": 3.0, "coef": 0.01, "target": 4}]}


@pytest.mark.parametrize(
    ("overrides", "row"),
    [
        (["reward=learned"], {"reward": "learned"}),
        (["reward=learned", "reward.pairs_check=0.7"], {"reward": "learned"}),
        (["reward=learned", "reward.scale=true"], {"reward": "learned", "reward_settings": {"scale": True}}),
        (
            ["reward=ensemble", "reward.combine=minimum", "reward.members=5"],
            {"reward": "ensemble", "reward_settings": {"members": 5, "combine": "minimum"}},
        ),
        (
            ["reward=rule", "reward.rules=[{max_tokens: 9}]"],
            {"reward": "rule", "reward_settings": {"rules": [{"max_tokens": 9, "weight": 1}]}},
        ),
    ],
    ids=str,
)
def test_a_row_says_which_settings_differ(overrides: list[str], row: dict[str, Any]) -> None:
    found = identity(settings(*overrides))
    assert {name: value for name, value in found.items() if name.startswith("reward")} == row


def test_gold_refuses_a_source_without_it() -> None:
    world = SimpleNamespace(name="desk", judge=lambda: "desk")
    files = SimpleNamespace(name="files", judge=lambda: None)
    GoldConfig().check(world)
    for config in (GoldConfig(), CompositeConfig(parts=[{"kind": "learned"}, {"kind": "gold"}])):
        with pytest.raises(ConfigError, match=r"data=files has no gold score\n  remedy: pass reward=learned"):
            config.check(files)
