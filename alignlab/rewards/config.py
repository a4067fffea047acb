"""Typed settings of a reward, and what they ask for. Torch-free.

A reward's settings say all that the stage graph must know before it exists: how many reward models it reads, whether
it reads text or the data source, what its scores depend on. A third-party reward with settings of its own subclasses
`RewardConfig` and names that class as `Component.config`; one without needs neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from alignlab import registry
from alignlab.errors import ConfigError
from alignlab.settings import check_ranges, param

SHARED = ("scale", "pairs_check")
"""Settings of every reward that are about the trained reward models, not about the reward."""


@dataclass(kw_only=True)
class RewardConfig:
    """What scores a completion during training. A reward's own dataclass adds its settings."""

    kind: str
    scale: bool = param(
        False, "Divide scores of trained reward models by their spread on SFT samples; `beta` then has another unit."
    )
    pairs_check: float = param(0.55, "Warn below this pair accuracy on validation labels.", low=0.5, high=1)

    def __post_init__(self) -> None:
        """Check ranges; subclasses call this first and then add checks of their own."""
        check_ranges(self, "reward")

    @property
    def models(self) -> int:
        """Trained reward models that it reads itself; several differ by seed. They decide which keyword it is given."""
        return 0

    @property
    def inner(self) -> Sequence[RewardConfig]:
        """Rewards that it is made of."""
        return ()

    @property
    def reads_text(self) -> bool:
        """Whether decoded replies decide its scores, rather than token ids alone, which need not be finished."""
        return True

    @property
    def reads_source(self) -> bool:
        """Whether it asks the data source."""
        return True

    def check(self, source: Any) -> None:
        """Raise what can be known to be wrong with a data source, or on this machine, before anything is computed."""
        for each in self.inner:
            each.check(source)

    def address(self) -> dict[str, Any]:
        """What its scores depend on beside models, data and code: its settings, and files by their content."""
        return {spec.name: getattr(self, spec.name) for spec in fields(self) if spec.name not in ("kind", *SHARED)}

    def changed(self) -> dict[str, Any]:
        """The settings that are not the default, for tables."""
        default = {spec.name: spec.default for spec in fields(self)}
        own = self.address() | {"scale": self.scale}
        return {name: value for name, value in own.items() if name not in default or value != default[name]}


def every(config: RewardConfig) -> Iterator[RewardConfig]:
    """A reward's settings, then those of the rewards it is made of, and so on."""
    yield config
    for each in config.inner:
        yield from every(each)


def trained_models(config: RewardConfig) -> int:
    """Different trained reward models that a reward reads in all: inner ones share them."""
    return max(each.models for each in every(config))


def check_reward(config: RewardConfig, *, starts_value: bool) -> None:
    """Refuse settings that do not fit their kind, or a method whose value model needs one trained reward model."""
    declared = registry.component("rewards", config.kind).config or RewardConfig
    if type(config) is not declared:
        raise ConfigError(
            f"reward.kind={config.kind} does not fit the settings of reward, which are those of another reward",
            f"choose a reward by reward={config.kind}",
        )
    if config.scale and not trained_models(config):
        raise ConfigError(
            f"reward.scale=true divides scores of trained reward models, and reward={config.kind} reads none",
            "pass reward.scale=false",
        )
    if starts_value:
        check_value_start(config)


def check_value_start(config: RewardConfig) -> None:
    """A value model can start from the reward model only where there is exactly one."""
    count = trained_models(config)
    if count != 1:
        found = f"needs one reward model, and reward={config.kind} reads {count}"
        none = f"needs a reward model, and reward={config.kind} is none that this run trains"
        raise ConfigError(f"algo.value_init=reward {found if count else none}", "pass algo.value_init=sft")
