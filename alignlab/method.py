"""What a plugin must tell alignlab about itself.

A method is data, not a branch: its typed configuration, where its LightningModule lives, and what must exist
before its first step. The core reads the declaration, builds exactly the parts it names, and knows no method
by name. Sources, rewards, judges and attacks declare themselves the same way with `Component`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from importlib import import_module
from typing import Any

from alignlab.errors import ConfigError, PluginError


class Data(StrEnum):
    """The supervision a method learns from."""

    DEMONSTRATIONS = "demonstrations"  # prompt, completion
    PAIRS = "pairs"  # prompt, chosen, rejected (optional probability, margin, weight)
    LABELS = "labels"  # prompt, completion, desirable or not
    PROMPTS = "prompts"  # prompt only; completions are sampled


class Reference(StrEnum):
    """How a method uses the frozen copy of its starting policy."""

    NONE = "none"
    LOGPS = "logps"  # only log-probabilities of the training rows: computed once, shared, model not in memory
    MODEL = "model"  # the model itself, for completions that do not exist yet


class Output(StrEnum):
    """What training yields."""

    POLICY = "policy"
    SCORER = "scorer"  # a language model copy with a value head


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What must exist before a method takes its first step; what is not declared is never loaded."""

    data: Data
    sft: bool = True
    """Start from the SFT policy rather than from the base model."""
    reference: Reference = Reference.NONE
    scorers: tuple[str, ...] = ()
    """Named scorers of completions, such as `reward`."""
    rollouts: bool = False
    """Completions are sampled from the policy during training."""


def param(
    default: Any,
    doc: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
    search: tuple[float, float, str] | None = None,
) -> Any:
    """A dataclass field with its meaning, its valid range, and the range a fair tuning searches.

    `low`/`high` bound the value (excluded when `open_low`/`open_high`); `search` is (from, to, "log"|"linear").
    """
    meta = dict(doc=doc, low=low, high=high, open_low=open_low, open_high=open_high, search=search)
    return field(default=default, metadata=meta)


def check_ranges(config: Any, prefix: str) -> None:
    """Raise ConfigError for the first field of a dataclass outside the range its `param` declares."""
    for spec in fields(config):
        value, meta = getattr(config, spec.name), spec.metadata
        if "low" not in meta or isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if not _inside(value, meta):
            raise ConfigError(
                f"{prefix}.{spec.name} must lie in {interval(meta)}, got {value}",
                f"{meta['doc']} The default is {prefix}.{spec.name}={spec.default}.",
            )


def _inside(value: float, meta: Mapping[str, Any]) -> bool:
    low, high = float(meta["low"]), float(meta["high"])
    above = value > low if meta["open_low"] else value >= low
    below = value < high if meta["open_high"] else value <= high
    return above and below


def interval(meta: Mapping[str, Any]) -> str:
    """The valid range of a `param` in mathematical notation."""
    left = "(" if meta["open_low"] or math.isinf(meta["low"]) else "["
    right = ")" if meta["open_high"] or math.isinf(meta["high"]) else "]"
    return f"{left}{meta['low']:g}, {meta['high']:g}{right}"


@dataclass(kw_only=True)
class MethodConfig:
    """What every trained method can be told. A method's own dataclass adds its hyper-parameters."""

    method: str
    """The plugin. Presets of one plugin share it."""
    name: str
    """The preset, as shown in tables."""
    lr: float = param(1e-5, "Peak learning rate of AdamW.", low=0, open_low=True, search=(5e-7, 3e-3, "log"))
    batch_size: int = param(32, "Rows in one update, or completions in one rollout, over all processes.", low=1)
    warmup: float = param(0.05, "Share of updates over which the learning rate rises from 0.", low=0, high=1)
    schedule: str = param("linear", "Learning rate after warm-up: constant, linear or cosine decay to 0.")
    weight_decay: float = param(0.0, "Decoupled weight decay.", low=0)
    max_grad_norm: float = param(1.0, "Gradients are scaled down to this norm; 0 switches clipping off.", low=0)

    def __post_init__(self) -> None:
        """Check every declared range; subclasses call this first and then add checks of their own."""
        check_ranges(self, "algo")
        if self.schedule not in ("constant", "linear", "cosine"):
            raise ConfigError(
                f"algo.schedule must be constant, linear or cosine, got {self.schedule!r}",
                "pass algo.schedule=linear",
            )


@dataclass(kw_only=True)
class OfflineConfig(MethodConfig):
    """A method that passes over stored rows."""

    epochs: int = param(1, "Passes over the training rows.", low=1)


@dataclass(kw_only=True)
class OnlineConfig(MethodConfig):
    """A method that samples its own training rows; `batch_size` counts sampled completions in one iteration."""

    steps: int = param(30, "Iterations: one rollout and the updates on it.", low=1)
    beta: float = param(
        0.05,
        "Price of KL(policy || reference), in reward units per nat of a whole completion.",
        low=0,
        search=(0.01, 0.5, "log"),
    )
    missing_end_penalty: float = param(
        1.0, "Taken from the score of a completion that hit the length limit without an end token.", low=0
    )


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method's declaration: the object its entry point resolves to."""

    name: str
    summary: str
    """One line for the method table."""
    config: type[MethodConfig]
    module: str
    """`package.module:Class`, imported only when the method runs."""
    needs: Needs
    conf: str
    """Hydra search path that holds `algo/<preset>.yaml`."""
    equation: str
    paper: str
    failures: tuple[str, ...] = ()
    """Known ways it goes wrong, each a sentence."""
    output: Output = Output.POLICY
    conventions: Mapping[str, str] = field(default_factory=dict)
    """Reduction, baseline, KL place and estimator, …: what one name hides elsewhere."""

    def load_module(self) -> Any:
        """Import the LightningModule class."""
        return resolve(self.module, f"method {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class Component:
    """A source, reward, judge or attack: a name, a typed configuration, and a factory imported on use."""

    name: str
    summary: str
    target: str
    """`package.module:object`, a callable that takes the typed configuration first."""
    config: type | None = None
    conf: str | None = None
    """Hydra search path with this component's YAML, if it ships one."""

    def load(self) -> Any:
        """Import the factory."""
        return resolve(self.target, f"plugin {self.name!r}")


def resolve(target: str, what: str) -> Any:
    """Import `package.module:object`; PluginError names `what` and the target when that fails."""
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{what} could not be imported from {target}: {error}", "fix or uninstall it") from error
