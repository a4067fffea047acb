"""The trials of one method: which settings are searched, and what each trial draws."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple, Protocol

from alignlab.errors import ConfigError
from alignlab.method import MethodConfig
from alignlab.tune import TuneConfig

DIGITS = 3
"""Significant digits of a drawn value: what a person would type."""


class Range(NamedTuple):
    """One searched setting."""

    name: str
    low: float
    high: float
    log: bool


def ranges(config: MethodConfig, given: Mapping[str, Any], fixed: Sequence[str]) -> list[Range]:
    """The settings a method declares a range for, those aside that were typed or have no value.

    Raises ConfigError for a range of a logarithmic setting that reaches 0.
    """
    found = []
    for spec in fields(config):
        search = spec.metadata.get("search")
        if search is None or spec.name in fixed or getattr(config, spec.name) is None:
            continue
        low, high, scale = search
        low, high = given.get(spec.name, (low, high))
        if scale == "log" and low <= 0:
            raise ConfigError(f"ranges.{spec.name} is searched on a logarithmic scale, from {low}", "start above 0")
        found.append(Range(spec.name, float(low), float(high), scale == "log"))
    return found


class Sampler(Protocol):
    """Where the settings of a trial come from."""

    def draw(self, trial: int) -> dict[str, float]:
        """Settings of a trial; trials are drawn in order."""
        ...

    def tell(self, trial: int, score: float | None) -> None:
        """What came of it; None: it failed, or drifted too far."""
        ...


class Random:
    """Seeded random search. Each setting has numbers of its own, so that a new one moves no other."""

    def __init__(self, name: str, searched: Sequence[Range], seed: int) -> None:
        self.name, self.searched, self.seed = name, searched, seed

    def draw(self, trial: int) -> dict[str, float]:
        """A function of method, setting, trial and seed alone."""
        return {each.name: self._value(each, trial) for each in self.searched}

    def _value(self, each: Range, trial: int) -> float:
        u = random.Random(f"{self.name}/{each.name}/{trial}/{self.seed}").random()
        value = each.low * (each.high / each.low) ** u if each.log else each.low + u * (each.high - each.low)
        return _short(value)

    def tell(self, trial: int, score: float | None) -> None:
        """Nothing is learned from trials."""


class Adaptive:
    """Optuna's tree-structured Parzen estimator, by ask and tell."""

    def __init__(self, name: str, searched: Sequence[Range], seed: int) -> None:
        try:
            import optuna
        except ImportError as error:
            raise ConfigError(
                "tune.sampler=optuna needs the optuna package", "pip install optuna, or tune.sampler=random"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        number = random.Random(f"{name}/{seed}").getrandbits(32)
        self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=number))
        self._failed = optuna.trial.TrialState.FAIL
        self._asked: dict[int, Any] = {}
        self.searched = searched

    def draw(self, trial: int) -> dict[str, float]:
        """What the sampler suggests, given what it was told."""
        self._asked[trial] = asked = self._study.ask()
        return {
            each.name: _short(asked.suggest_float(each.name, each.low, each.high, log=each.log))
            for each in self.searched
        }

    def tell(self, trial: int, score: float | None) -> None:
        """Report a trial."""
        if score is None:
            self._study.tell(self._asked[trial], state=self._failed)
        else:
            self._study.tell(self._asked[trial], score)


def sampler(config: MethodConfig, tune: TuneConfig, searched: Sequence[Range]) -> Sampler:
    """The search of one method."""
    kinds: Mapping[str, Any] = {"random": Random, "optuna": Adaptive}
    found: Sampler = kinds[tune.sampler](config.name, searched, tune.seed)
    return found


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else value
