"""Settings of the rewards that come with alignlab. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, TypeVar

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alignlab import registry
from alignlab.errors import ConfigError, PluginError
from alignlab.models import named
from alignlab.rewards import folder
from alignlab.rewards.config import SHARED, RewardConfig
from alignlab.settings import check_ranges, param


@dataclass(kw_only=True)
class LearnedConfig(RewardConfig):
    """The reward model trained on the labels of this run."""

    kind: str = "learned"
    models = 1
    reads_text = reads_source = False


@dataclass(kw_only=True)
class GoldConfig(RewardConfig):
    """The true score of an embedded world."""

    kind: str = "gold"

    def check(self, source: Any) -> None:
        """Refuse sources that know no true score."""
        if source.judge() is None:
            raise ConfigError(f"data={source.name} has no gold score", "pass reward=learned")


class Combine(Enum):
    """What becomes of the scores of an ensemble."""

    mean = "mean"
    minimum = "minimum"
    uncertainty = "uncertainty"
    variance = "variance"


@dataclass(kw_only=True)
class EnsembleConfig(RewardConfig):
    """Reward models that differ by seed."""

    kind: str = "ensemble"
    members: int = param(3, "Reward models, alike but for initial weights of the head and order of rows.", low=2)
    combine: Combine = param(
        Combine.mean, "mean, minimum, or mean - coef x standard deviation (uncertainty) or x variance (variance)."
    )
    coef: float = param(1.0, "Price of disagreement, for uncertainty and variance.", low=0)
    reads_text = reads_source = False

    @property
    def models(self) -> int:
        """All members."""
        return self.members

    def address(self) -> dict[str, Any]:
        """How scores are combined; the members themselves are models."""
        priced = self.combine in (Combine.uncertainty, Combine.variance)
        return {"members": self.members, "combine": self.combine} | ({"coef": self.coef} if priced else {})


@dataclass(kw_only=True)
class LengthPenalisedConfig(RewardConfig):
    """The reward model with a price on length."""

    kind: str = "length_penalised"
    coef: float = param(0.01, "Price of a token beyond the target, in preference logits.", low=0)
    target: int = param(0, "Tokens that cost nothing, the end token included; 0 prices every token.", low=0)
    models = 1
    reads_text = reads_source = False


@dataclass(kw_only=True)
class Rule:
    """One condition on a reply, and what it is worth. Exactly one condition is set."""

    pattern: str | None = param(None, "Regular expression that is found somewhere in the reply.")
    ending: str | None = param(None, "Text that the reply ends with.")
    max_tokens: int | None = param(None, "Longest reply in tokens, the end token included.", low=1)
    weight: float = param(
        1.0,
        "Added to the score of a reply that meets the condition; negative punishes it.",
        open_low=True,
        open_high=True,
    )

    def check(self, where: str) -> None:
        """Refuse several conditions, none, or a pattern that cannot be read."""
        check_ranges(self, where)
        conditions = ("pattern", "ending", "max_tokens")
        given = [name for name in conditions if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(
                f"{where} sets {' and '.join(given) or 'no condition'}",
                f"set exactly one of {', '.join(conditions)}; write several rules for several conditions",
            )
        if self.ending == "":
            raise ConfigError(f"{where}.ending is empty, which every reply ends with", "give the text of the ending")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ConfigError(
                f"{where}.pattern={self.pattern!r} is no regular expression: {error}",
                "close every bracket, and put \\ before a bracket, dot or sign that is meant as such",
            ) from error


@dataclass(kw_only=True)
class RuleConfig(RewardConfig):
    """Weighted conditions on the text of a reply. They are data: nothing in them is executed."""

    kind: str = "rule"
    rules: list[Any] = param(MISSING, "Conditions, as in [{pattern: thanks, weight: 0.5}, {max_tokens: 40}].")
    reads_source = False

    def __post_init__(self) -> None:
        """Ranges, then every rule."""
        super().__post_init__()
        if not self.rules:
            raise ConfigError("reward.rules is empty: every reply scores 0", "pass reward.rules=[{pattern: thanks}]")
        _ = self.typed

    @property
    def typed(self) -> list[Rule]:
        """The rules as dataclasses."""
        places = [f"reward.rules[{at}]" for at in range(len(self.rules))]
        found = [_item(Rule, rule, place) for rule, place in zip(self.rules, places, strict=True)]
        for rule, place in zip(found, places, strict=True):
            rule.check(place)
        return found

    def address(self) -> dict[str, Any]:
        """Every rule's condition and weight."""
        return {
            "rules": [{name: value for name, value in vars(rule).items() if value is not None} for rule in self.typed]
        }


@dataclass(kw_only=True)
class Part:
    """One term of a weighted sum of rewards."""

    kind: str = param(MISSING, "The reward, as in reward=‹kind›.")
    weight: float = param(1.0, "What its score is multiplied by.", open_low=True, open_high=True)
    settings: dict[str, Any] = param(dict, "Its settings where they differ from their defaults.")


@dataclass(kw_only=True)
class CompositeConfig(RewardConfig):
    """A weighted sum of rewards."""

    kind: str = "composite"
    parts: list[Any] = param(MISSING, "Terms, as in [{kind: learned}, {kind: gold, weight: 0.5, settings: {}}].")

    def __post_init__(self) -> None:
        """Ranges, then every part with its settings."""
        super().__post_init__()
        if not self.parts:
            raise ConfigError("reward.parts is empty: every reply would score 0", "pass reward.parts=[{kind: learned}]")
        _ = self.inner

    @property
    def terms(self) -> list[Part]:
        """The parts as dataclasses."""
        found = [_item(Part, part, f"reward.parts[{at}]") for at, part in enumerate(self.parts)]
        for at, part in enumerate(found):
            check_ranges(part, f"reward.parts[{at}]")
        return found

    @property
    def inner(self) -> list[RewardConfig]:
        """Checked settings of every part."""
        return [_part(part, f"reward.parts[{at}]") for at, part in enumerate(self.terms)]

    @property
    def reads_source(self) -> bool:
        """Each part says so for itself."""
        return False

    def address(self) -> dict[str, Any]:
        """Weights, kinds and settings."""
        rows = zip(self.terms, self.inner, strict=True)
        return {"parts": [{"kind": part.kind, "weight": part.weight, **own.address()} for part, own in rows]}


@dataclass(kw_only=True)
class DirectoryConfig(RewardConfig):
    """A reward model from a directory, whoever trained it."""

    kind: str = "directory"
    path: str = param(MISSING, "Directory of a sequence classifier with one label and its tokenizer.")
    reads_source = False

    def check(self, source: Any) -> None:
        """Refuse a directory that holds no such model."""
        folder.check(self.path)

    def address(self) -> dict[str, Any]:
        """The content of the files, wherever they lie."""
        return {"files": named.content(self.path)}


T = TypeVar("T")


def _item(kind: type[T], value: Any, where: str) -> T:
    """An element of a list of settings as a dataclass; errors name its place."""
    names = ", ".join(spec.name for spec in fields(kind))  # type: ignore[arg-type]
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}={value!r} is not a group of settings", f"write {{‹name›: ‹value›}} with {names}")
    merged = _merged(kind, value, where, names)
    found: T = OmegaConf.to_object(merged)  # type: ignore[assignment]
    return found


def _merged(kind: type, value: Mapping[str, Any], where: str, names: str) -> Any:
    """Values in the types that a dataclass declares."""
    unknown = sorted(set(value) - {spec.name for spec in fields(kind)})
    if unknown:
        raise ConfigError(f"unknown setting {where}.{unknown[0]}", registry.suggestion(unknown[0], names.split(", ")))
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), dict(value))
    except OmegaConfBaseException as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"{where}.{error.full_key}: {first}", f"the settings here are {names}") from error
    missing = sorted(OmegaConf.missing_keys(merged))
    if missing:
        raise ConfigError(f"{where}.{missing[0]} has no value", f"write {missing[0]}: ‹value›")
    return merged


def _part(part: Part, where: str) -> RewardConfig:
    """Settings of one part, from their defaults and what is given; errors name them by where they stand."""
    try:
        kind = registry.component("rewards", part.kind).config or RewardConfig
    except PluginError as error:
        raise PluginError(f"{where}.kind: {error.message}", error.remedy) from error.__cause__
    shared = [name for name in ("kind", *SHARED) if name in part.settings]
    if shared:
        remedy = f"write {where}.kind" if shared[0] == "kind" else f"pass reward.{shared[0]}=‹value›, for all parts"
        raise ConfigError(f"{where}.settings.{shared[0]} is no setting of a part", remedy)
    names = ", ".join(spec.name for spec in fields(kind) if spec.name not in ("kind", *SHARED))
    merged = _merged(kind, {"kind": part.kind, **part.settings}, f"{where}.settings", names)
    try:
        found: RewardConfig = OmegaConf.to_object(merged)  # type: ignore[assignment]
    except ConfigError as error:
        own = (re.sub(r"\breward\.", f"{where}.settings.", text) for text in (error.message, error.remedy))
        raise ConfigError(*own) from None
    return found
