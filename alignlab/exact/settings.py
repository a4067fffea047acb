"""Settings of the experiment on the exact world. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from alignlab import registry
from alignlab.errors import ConfigError
from alignlab.settings import check_ranges, param


@dataclass(kw_only=True)
class ExactConfig:
    """What is trained, and on which population."""

    methods: list[str] = field(default_factory=list)
    """Presets and variants; none stands for all there are."""
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Further rows: name -> preset (`of`) and its settings that differ."""
    beta: float = param(
        0.5, "Price of KL of the optimum, and of every method whose preset has one.", low=0, open_low=True
    )
    flip: float = param(
        0.1, "Share of wrong labels in the second training of methods that learn from labels.", low=0, high=0.5
    )
    on_policy: bool = param(False, "Draw pairs from the reference instead of uniformly.")
    steps: int = param(400, "Updates of methods that are trained on samples.", low=1)
    processes: int = param(0, "Methods trained at the same time; 0 takes one a core.", low=0)

    def __post_init__(self) -> None:
        """Check ranges, and that every method exists."""
        check_ranges(self, "exact")
        presets = registry.presets()
        for name, variant in self.variants.items():
            of = str(variant.get("of", ""))
            if of not in presets:
                raise ConfigError(f"exact.variants.{name}.of={of} is no method", registry.suggestion(of, presets))
            if name in presets:
                raise ConfigError(f"exact.variants.{name} has the name of a method", "choose another")
        known = {*presets, *self.variants}
        for name in self.methods:
            if name not in known:
                raise ConfigError(f"exact.methods: unknown method {name!r}", registry.suggestion(name, known))
