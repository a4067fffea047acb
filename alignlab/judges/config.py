"""Typed settings of a judge of refusals, and what they ask for. Torch-free.

A judge of a third party subclasses `DetectorConfig` and names that class as `Component.config`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING as NONE
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar

from alignlab import registry
from alignlab.errors import ConfigError
from alignlab.settings import check_ranges

FEW = 100
"""Labelled replies below which a measurement of a judge is said to rest on a few only."""


@dataclass(kw_only=True)
class DetectorConfig:
    """Who judges replies. A judge's own dataclass adds its settings."""

    kind: str
    idle: ClassVar[Sequence[str]] = ()
    """Settings that decide no verdict, or whose meaning `address` gives otherwise."""

    def __post_init__(self) -> None:
        """Check ranges; subclasses call this first and then add checks of their own."""
        check_ranges(self, "judge")

    @property
    def reads_source(self) -> bool:
        """Whether verdicts are those of the data source's own judge."""
        return False

    @property
    def reads_policy(self) -> bool:
        """Whether it reads hidden states of the run's SFT policy."""
        return False

    @property
    def learns(self) -> bool:
        """Whether it learns from labelled replies."""
        return False

    def check(self, source: Any) -> None:
        """Raise what can be known to be wrong with a data source, or on this machine, before anything is computed."""

    def address(self) -> dict[str, Any]:
        """What its verdicts depend on beside models, data and code."""
        left_out = {"kind", *self.idle}
        return {spec.name: getattr(self, spec.name) for spec in fields(self) if spec.name not in left_out}

    def changed(self) -> dict[str, Any]:
        """The settings that are not the default, for tables."""
        own = {spec.name: (getattr(self, spec.name), spec) for spec in fields(self) if spec.name != "kind"}
        return {name: value for name, (value, spec) in own.items() if value != _default(spec)}


def _default(spec: Field[Any]) -> Any:
    return spec.default if spec.default_factory is NONE else spec.default_factory()


def check_judge(config: DetectorConfig) -> None:
    """Refuse settings that do not fit their kind."""
    declared = registry.component("judges", config.kind).config
    if type(config) is not declared:
        raise ConfigError(
            f"judge.kind={config.kind} does not fit the settings of judge, which are those of another one",
            f"choose a judge by judge={config.kind}",
        )
