"""What the tests of the exact world share: the world, a preset trained on all of it, and distances."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from alignlab import registry
from alignlab.config import preset_config
from alignlab.exact.cases import divergence_from
from alignlab.exact.descent import Found, descend
from alignlab.exact.pairs import PairPopulation
from alignlab.modules.objective import PairObjective
from alignlab.numerics.population import Population
from alignlab.worlds import exact

F64 = torch.float64
BETA = exact.BETA
WORLD = exact.population()
BEST = exact.optimum(WORLD.reference, WORLD.reward)


def loss(preset: str, world: Population = WORLD, **settings: Any) -> PairPopulation:
    """The loss of a preset over the whole population."""
    config: Any = preset_config(preset, **settings)
    method = registry.method(registry.presets()[preset])
    return PairPopulation(PairObjective(method, config), config, world)


def trained(preset: str, world: Population = WORLD, **settings: Any) -> Found:
    """A preset trained on the whole population."""
    return descend(loss(preset, world, **settings), world.reference)


def apart(one: Tensor, other: Tensor) -> float:
    """The larger of both divergences, mean over prompts."""
    return max(divergence_from(one, other), divergence_from(other, one))


def tilted(tilt: Tensor) -> Tensor:
    return (WORLD.reference + tilt).log_softmax(-1)
