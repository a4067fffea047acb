"""One method on the exact world: which settings it is trained under, how, and what came of it."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace

import torch
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from alignlab import registry
from alignlab.config import named_objective, preset_config
from alignlab.errors import ConfigError
from alignlab.exact import sampled
from alignlab.exact.descent import descend
from alignlab.exact.pairs import PairPopulation
from alignlab.exact.settings import ExactConfig
from alignlab.exact.theory import predicted
from alignlab.method import PAIR_MODULE, Data, Method, MethodConfig, OnlinePairConfig, PairConfig, Reference
from alignlab.modules.objective import PairObjective
from alignlab.numerics.population import Population
from alignlab.worlds import exact

ARRIVED = 1e-6
"""KL in nats up to which a policy counts as being at a point, where nothing is sampled."""
NEAR = 0.03
"""The same for policies that carry the noise of samples."""


@dataclass(frozen=True)
class Case:
    """A preset or variant under the settings it is trained with here, and those that these leave no different."""

    name: str
    method: str
    also: tuple[str, ...] = ()
    why_not: str = ""
    """Why it is not trained."""


@dataclass(frozen=True)
class Figures:
    """Distances of a trained policy, means over prompts, in nats and units of reward."""

    from_optimum: float
    """KL(pi* || pi)."""
    to_optimum: float
    """KL(pi || pi*)."""
    gap: float
    """J* - J(pi)."""
    reward: float
    """E[r]."""
    drift: float
    """KL(pi || ref)."""


@dataclass(frozen=True)
class Outcome:
    """What came of a case."""

    case: Case
    group: str
    """What it learns from, in words."""
    exact: bool
    """Whether it saw the whole population, and not samples of it."""
    figures: Figures
    flipped: Figures | None
    """The same after training on labels of which some are wrong."""
    prediction: str
    """Empty where there is none."""
    from_prediction: float | None
    """KL(predicted || pi)."""
    verdict: str
    seconds: float


def cases(settings: ExactConfig) -> list[Case]:
    """Every preset and variant asked for; those that differ in name and optimisation only are one case."""
    found: dict[str, Case] = {}
    refused: list[Case] = []
    presets = registry.presets()
    every = sorted(presets, key=lambda name: (presets[name], presets[name] != name, name))
    for name in settings.methods or [*every, *settings.variants]:
        config = configured(name, settings)
        method = registry.method(config.method)
        why_not = sampled.unfit(method, config)
        if why_not:
            refused.append(Case(name, method.name, why_not=why_not))
            continue
        key = repr(sorted((field, value) for field, value in asdict(config).items() if field != "name"))
        known = found.get(key)
        found[key] = replace(known, also=(*known.also, name)) if known else Case(name, method.name)
    return [*found.values(), *refused]


def configured(name: str, settings: ExactConfig) -> MethodConfig:
    """A preset or variant with this world's price of KL, where it has one, and optimisation that suits a table."""
    changes = dict(settings.variants.get(name, {}))
    preset = str(changes.pop("of", name))
    try:
        config = preset_config(preset, **changes)
        if getattr(config, "beta", 0.0) != 0 and "beta" not in changes:
            config = preset_config(preset, beta=settings.beta, **changes)
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"exact.variants.{name}: {str(error).splitlines()[0]}", f"`methods {preset}` lists its settings"
        ) from error
    return sampled.settings(config, settings.steps)


def train(case: Case, settings: ExactConfig, seed: int) -> Outcome:
    """Train a case, on clean labels and where it has any on labels of which some are wrong."""
    began = time.perf_counter()
    method, config = registry.method(case.method), configured(case.name, settings)
    world = exact.population(on_policy=settings.on_policy)
    learnt, state = _trained(method, config, world, settings.steps, seed)
    flipped = None
    if settings.flip and method.needs.data in (Data.PAIRS, Data.LABELS):
        noisy = exact.population(flip=settings.flip, on_policy=settings.on_policy)
        flipped = figures(_trained(method, config, noisy, settings.steps, seed)[0], world, settings.beta)
    theory = predicted(method, config, world)
    distance = None if theory is None else divergence_from(theory.logps, learnt)
    figured, whole = figures(learnt, world, settings.beta), in_population(method)
    return Outcome(
        case=case,
        group=group(method),
        exact=whole,
        figures=figured,
        flipped=flipped,
        prediction="" if theory is None else theory.words,
        from_prediction=distance,
        verdict=_verdict(figured, distance, state, whole),
        seconds=time.perf_counter() - began,
    )


def figures(logps: Tensor, world: Population, beta: float) -> Figures:
    """All distances of a policy, (X, Y)."""
    best = exact.optimum(world.reference, world.reward, beta)
    value = exact.objective(logps, world.reference, world.reward, beta)
    return Figures(
        from_optimum=divergence_from(best, logps),
        to_optimum=divergence_from(logps, best),
        gap=float(exact.best_value(world.reference, world.reward, beta) - value),
        reward=float((logps.exp() * world.reward).sum(-1).mean()),
        drift=divergence_from(logps, world.reference),
    )


def divergence_from(logps: Tensor, other: Tensor) -> float:
    """Mean over prompts of KL(p || q) in nats, never negative by rounding; p may be 0 here and there: two (X, Y)."""
    terms = torch.where(logps == -math.inf, 0.0, logps.exp() * (logps - other))
    return max(0.0, float(terms.sum(-1).mean()))


def in_population(method: Method) -> bool:
    """Whether its loss is that of a single pair from its log-probabilities, so that all pairs can be summed over."""
    return bool(method.objective) and not method.couple and method.module == PAIR_MODULE


def group(method: Method) -> str:
    """What a method learns from, in words."""
    if method.needs.data is Data.PAIRS:
        return "pairs" if method.needs.reference is not Reference.NONE else "pairs, no reference"
    return {Data.LABELS: "single labels", Data.PROMPTS: "own samples"}.get(method.needs.data, str(method.needs.data))


def _trained(method: Method, config: MethodConfig, world: Population, steps: int, seed: int) -> tuple[Tensor, str]:
    """Log-probabilities (X, Y), and what is to be said of how the training ended."""
    if isinstance(config, PairConfig) and in_population(method) and not config.reference_every:
        found = descend(PairPopulation(PairObjective(method, config), config, world), world.reference)
        if found.away:
            return found.logps, "runs away"
        return found.logps, "" if found.slope < ARRIVED else "near a kink"
    named = named_objective(config) if isinstance(config, OnlinePairConfig) else None
    if method.objective:
        assert isinstance(config, PairConfig)
        named = method, config
    objective = PairObjective(*named) if named else None
    held = config.needs(method.needs).reference is not Reference.NONE or method.needs.data is not Data.PROMPTS
    state = "reference moves" if getattr(config, "reference_every", 0) else "" if held else "nothing holds it"
    return sampled.train(method, config, objective, world, steps, seed), state


def _verdict(found: Figures, distance: float | None, state: str, whole: bool) -> str:
    """Where it went, in a few words."""
    limit = ARRIVED if whole else NEAR
    there = distance is not None and distance <= limit
    if state:
        return state
    if found.from_optimum <= limit and (whole or there):
        return "optimum" if whole else "near optimum"
    if there:
        return "as predicted"
    return "elsewhere" if whole or distance is None else "not there yet"
