"""Typed settings of an annotator, and what they ask for. Torch-free.

An annotator of a third party subclasses `JudgeConfig` and names that class as `Component.config`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING as NONE
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar

from omegaconf import MISSING

from alignlab import registry
from alignlab.errors import ConfigError
from alignlab.settings import check_ranges, param


@dataclass(kw_only=True)
class AnnotatorConfig:
    """Where preferences come from. An annotator's own dataclass adds its settings."""

    kind: str

    def __post_init__(self) -> None:
        """Check ranges; subclasses call this first and then add checks of their own."""
        check_ranges(self, "annotator")

    @property
    def judges(self) -> bool:
        """Whether it is asked about completions. False where the data source's own labels stand."""
        return False

    @property
    def revises(self) -> bool:
        """Whether it can criticise and revise a completion too."""
        return False

    @property
    def reads_policy(self) -> bool:
        """Whether it asks the policy whose completions it judges."""
        return False

    @property
    def reads_source(self) -> bool:
        """Whether it asks the data source."""
        return False

    def check(self, source: Any) -> None:
        """Raise what can be known to be wrong with a data source, or on this machine, before anything is computed."""

    def address(self, *, revising: bool = False) -> dict[str, Any]:
        """What its labels, or its revisions, depend on beside models, data and code."""
        return {}

    def changed(self) -> dict[str, Any]:
        """The settings that are not the default, for tables."""
        return {}


@dataclass(kw_only=True)
class JudgeConfig(AnnotatorConfig):
    """An annotator that compares by a constitution, of which each comparison draws one principle."""

    kind: str = MISSING
    principles: list[Any] = param(MISSING, "The constitution: texts, of which each comparison draws one.")
    max_probability: float = param(
        1.0, "Largest probability that a label states; 0.6 clamps labels to [0.4, 0.6].", low=0.5, high=1, open_low=True
    )
    judges = True
    labelling: ClassVar[Sequence[str]] = ("max_probability",)
    """Settings that decide labels and no revision."""
    revising: ClassVar[Sequence[str]] = ()
    """Settings that decide revisions and no label."""
    idle: ClassVar[Sequence[str]] = ()
    """Settings that decide neither, or whose meaning `address` gives otherwise."""

    def __post_init__(self) -> None:
        """Ranges, then that there is something to judge by."""
        super().__post_init__()
        if not self.principles:
            raise ConfigError("annotator.principles is empty: there is nothing to judge by", "give one text at least")
        for at, principle in enumerate(self.principles):
            text = principle.get("text") if isinstance(principle, Mapping) else principle
            if not isinstance(text, str) or not text.strip():
                raise ConfigError(f"annotator.principles[{at}]={principle!r} is no text", "write a sentence")

    @property
    def texts(self) -> list[str]:
        """The principles as texts, in their order."""
        return [each["text"] if isinstance(each, Mapping) else str(each) for each in self.principles]

    def address(self, *, revising: bool = False) -> dict[str, Any]:
        """Settings that decide the result."""
        left_out = {"kind", *self.idle, *(self.labelling if revising else self.revising)}
        return {spec.name: getattr(self, spec.name) for spec in fields(self) if spec.name not in left_out}

    def changed(self) -> dict[str, Any]:
        """The settings that are not the default; the constitution is told by its length."""
        own = {spec.name: (getattr(self, spec.name), spec) for spec in fields(self) if spec.name != "kind"}
        told = {name: value for name, (value, spec) in own.items() if value != _default(spec)}
        return {name: len(value) if name == "principles" else value for name, value in told.items()}


def _default(spec: Field[Any]) -> Any:
    return spec.default if spec.default_factory is NONE else spec.default_factory()


def check_annotator(config: AnnotatorConfig) -> None:
    """Refuse settings that do not fit their kind."""
    declared = registry.component("annotators", config.kind).config
    if type(config) is not declared:
        raise ConfigError(
            f"annotator.kind={config.kind} does not fit the settings of annotator, which are those of another one",
            f"choose an annotator by annotator={config.kind}",
        )
