"""Descent on losses whose minima are known, and the loss of a population against a plain double loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from worldly import F64

from alignlab import registry
from alignlab.config import preset_config
from alignlab.data.batch import Sequences
from alignlab.exact.descent import AWAY, Local, descend, of_logits
from alignlab.exact.pairs import PairPopulation
from alignlab.models.policy import TokenOutputs
from alignlab.modules.objective import PairObjective
from alignlab.worlds import exact

START = torch.tensor([[0.2, -0.5, 0.1, 0.4], [1.0, 0.0, -1.0, 0.5]], dtype=F64).log_softmax(-1)


class Separate:
    """A sum over completions of a function of the log-probability."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def value(self, logps: Tensor, rows: Tensor) -> Tensor:
        return self.function(logps).sum(-1)

    def local(self, logps: Tensor, rows: Tensor) -> Local:
        free = logps.detach().requires_grad_()
        value = self.value(free, rows)
        (gradient,) = torch.autograd.grad(value.sum(), free, create_graph=True)
        if not gradient.requires_grad:
            return Local(value.detach(), gradient, torch.zeros(*logps.shape, logps.shape[-1], dtype=F64))
        (second,) = torch.autograd.grad(gradient.sum(), free)
        return Local(value.detach(), gradient.detach(), torch.diag_embed(second))


def test_cross_entropy_ends_at_its_target_in_few_steps() -> None:
    target = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=F64)
    found = descend(Separate(lambda logps: -target * logps), START)
    torch.testing.assert_close(found.logps.exp(), target.expand(2, 4), rtol=0, atol=1e-4)


def test_a_smooth_loss_ends_where_nothing_pulls() -> None:
    found = descend(Separate(lambda logps: (logps + 2) ** 2 + 0.1 * logps.exp()), START)
    torch.testing.assert_close(found.logps.exp(), torch.full((2, 4), 0.25, dtype=F64), rtol=0, atol=1e-9)
    assert found.slope < 1e-10
    assert not found.away
    assert found.steps < 20


def test_a_loss_without_a_minimum_runs_away() -> None:
    sign = torch.tensor([1.0, -1.0, 1.0, 1.0], dtype=F64)
    found = descend(Separate(lambda logps: sign * torch.sigmoid(0.3 * logps)), START)
    assert found.away
    assert (found.logps - START).abs().max() >= AWAY


def test_kinks_are_approached() -> None:
    """|log pi + 1| of two completions and |log pi + 3| of the others: all four cannot be 0, so a kink is the best."""
    target = torch.tensor([-1.0, -1.0, -3.0, -3.0], dtype=F64)
    problem = Separate(lambda logps: (logps - target).abs())
    found = descend(problem, START)
    best = min(
        float((torch.tensor(t, dtype=F64).log_softmax(-1) - target).abs().sum())
        for t in ([0, 0, -2 - k / 100, -2 - k / 100] for k in range(400))
    )
    assert problem.value(found.logps, torch.arange(2)).max() < best + 1e-3


def test_gradient_and_curvature_by_logits_are_those_of_autograd() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(4, 4, dtype=F64)

    def whole(logits: Tensor) -> Tensor:
        logps = logits.log_softmax(-1)
        return (logps @ matrix @ logps) / 2 + logps.exp().sum() ** 2 + logps[0]

    logits = torch.randn(4, dtype=F64)
    logps = logits.log_softmax(-1)

    def outer(u: Tensor) -> Tensor:
        return (u @ matrix @ u) / 2 + u.exp().sum() ** 2 + u[0]

    gradient = torch.autograd.functional.jacobian(outer, logps)
    hessian = torch.autograd.functional.hessian(outer, logps)
    local = Local(torch.zeros(1), gradient[None], hessian[None])
    first, second = of_logits(logps.exp()[None], local)
    torch.testing.assert_close(first[0], torch.autograd.functional.jacobian(whole, logits), rtol=0, atol=1e-12)
    torch.testing.assert_close(second[0], torch.autograd.functional.hessian(whole, logits), rtol=0, atol=1e-12)


SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("dpo", dict(beta=0.3, label_smoothing=0.2)),
    ("dpo", dict(beta=0.3, length_normalised=True, sft_weight=0.7)),
    ("dpo", dict(beta=0.3, on_policy_weight=True)),
    ("simpo", dict()),
    ("nca", dict(beta=0.5)),
]


@pytest.mark.parametrize(("preset", "settings"), SETTINGS, ids=lambda value: str(value)[:40])
def test_population_loss_is_the_training_loss_over_all_pairs(preset: str, settings: dict[str, Any]) -> None:
    """The same object that trains on text, given every pair as tokens, with soft labels, for one prompt."""
    world, x = exact.population(flip=0.1), 3
    torch.manual_seed(0)
    table = exact.reference_logits() + 0.5 * torch.randn(8, 43, 6, dtype=F64)
    logps = exact.sequence_logps(table)[x : x + 1]
    config: Any = preset_config(preset, **settings)
    objective = PairObjective(registry.method(registry.presets()[preset]), config)
    first, second = (each.flatten() for each in torch.meshgrid(*[torch.arange(216)] * 2, indexing="ij"))
    order = torch.cat([first, second])
    tokens, reference = (exact.token_logps(t)[x][order] for t in (table, exact.reference_logits()))
    collision = (2 * table.log_softmax(-1)).logsumexp(-1)[x][exact.contexts()][order]
    ones = torch.ones(tokens.shape, dtype=torch.bool)
    outputs = TokenOutputs(tokens, collision=collision)
    terms = objective(outputs, reference, Sequences(ones.long(), ones, ones), world.preference[x].flatten())
    expected = (terms.loss * (world.sampling[x, first] * world.sampling[x, second])).sum()
    population = PairPopulation(objective, config, world)
    population.local(logps, torch.tensor([x]))  # weights by the policy are those of the last look
    found = population.value(logps, torch.tensor([x]))[0]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
