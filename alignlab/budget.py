"""What a run may spend: one named axis and its limit, checked before anything is loaded. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from alignlab import registry
from alignlab.errors import ConfigError
from alignlab.method import MethodConfig, check_ranges, param


class Axis(Enum):
    """What is counted."""

    labels = "labels"
    steps = "steps"
    sampled_tokens = "sampled_tokens"
    flops = "flops"


@dataclass(kw_only=True)
class BudgetConfig:
    """One axis, so that what is matched in a comparison has a name."""

    axis: Axis = Axis.labels
    limit: float | None = param(
        None, "Most that the method may spend on the axis; null takes every label there is.", low=1, open_high=True
    )

    def __post_init__(self) -> None:
        """Check that what bounds a run is a number, and a whole one."""
        check_ranges(self, "budget")
        name = self.axis.value
        if self.limit is None and self.axis is not Axis.labels:
            raise ConfigError(f"budget={name} has no limit to stop at", f"pass budget.limit=‹{name}›")
        if self.limit is not None and not float(self.limit).is_integer():
            raise ConfigError(
                f"budget.limit={self.limit:g} is no whole number of {name}", f"pass budget.limit={int(self.limit)}"
            )

    @property
    def count(self) -> int | None:
        """The limit as a whole number."""
        return None if self.limit is None else int(self.limit)

    @property
    def labels(self) -> int | None:
        """Most labels that methods and their reward models may see; None for all."""
        return self.count if self.axis is Axis.labels else None

    @property
    def ends_training(self) -> bool:
        """Whether training stops when so much is spent, rather than after its own number of passes."""
        return self.axis is not Axis.labels


def check_budget(budget: BudgetConfig, configs: Sequence[MethodConfig]) -> None:
    """Refuse an axis on which the run's method spends nothing, `configs` being its own and those it builds on."""
    if not budget.ends_training:
        return
    config, name = configs[0], budget.axis.value
    method = registry.method(config.method)
    remedy = "compare it by budget=labels, which every method can be held to"
    if method.sampler:
        raise ConfigError(f"{config.name} acts at inference and trains nothing: budget={name} cannot stop it", remedy)
    if budget.axis is Axis.sampled_tokens and not config.needs(method.needs).rollouts:
        raise ConfigError(
            f"{config.name} samples nothing while it trains: budget={name} would never be spent",
            "pass budget=labels, budget=steps or budget=flops",
        )
