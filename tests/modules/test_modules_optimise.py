"""One optimiser update: its schedule, its clipping, its groups, and what it refuses."""

from __future__ import annotations

import math
import re

import lightning as L
import pytest
import torch
from alignlab.plugins.sft.config import SFTConfig
from alignlab.plugins.sft.module import SFTModule
from small import demonstrations, fit, llama, parts, weights
from torch import nn

from alignlab.errors import TrainingError
from alignlab.method import OfflineConfig
from alignlab.models.policy import Policy
from alignlab.modules.completions import CompletionModule
from alignlab.modules.optimise import adamw, all_sum, learning_rate, update


def config(**changes: object) -> OfflineConfig:
    return OfflineConfig(**(dict(method="x", name="x", lr=0.2, warmup=0.0, schedule="constant") | changes))


@pytest.mark.parametrize(
    ("schedule", "shape"),
    [
        ("constant", lambda done: 1.0),
        ("linear", lambda done: 1 - done),
        ("cosine", lambda done: 0.5 * (1 + math.cos(math.pi * done))),
    ],
)
@pytest.mark.parametrize(("warmup", "rising"), [(0.0, 0), (0.25, 5), (0.22, 5), (0.001, 1), (1.0, 20)])
def test_learning_rate_closed_form(schedule: str, shape: object, warmup: float, rising: int) -> None:
    """Warm-up lasts ceil(warmup x total) updates and ends on the peak; the decay would reach 0 at `total`."""
    for step in range(20):
        expected = (step + 1) / rising if step < rising else shape((step - rising) / (20 - rising))
        found = learning_rate(config(schedule=schedule, warmup=warmup), step, 20)
        assert found == pytest.approx(0.2 * expected, abs=1e-15), step


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("total", [1, 2, 50])
def test_every_update_moves_the_weights(schedule: str, total: int) -> None:
    assert all(learning_rate(config(schedule=schedule, warmup=0.05), step, total) > 0 for step in range(total))


class Bare(L.LightningModule):
    """Loss = coefficient times weight, for one or two models."""

    def __init__(self, settings: OfflineConfig, coefficients: list[list[float]], scales: list[float]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.settings, self.coefficients, self.scales = settings, coefficients, scales
        self.models = nn.ModuleList(nn.Linear(1, 1, bias=False, dtype=torch.float64) for _ in scales)
        self.seen: list[tuple[float, float]] = []
        self.gradient: list[float] = []

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        def loss_of(chunk: float) -> torch.Tensor:
            sums = zip(self.models, self.coefficients[batch_idx], strict=True)
            return chunk * sum(c * model.weight.sum() for model, c in sums)

        self.seen.append(update(self, [0.25, 0.75], loss_of, self.settings, step=batch_idx, total=10))
        self.gradient = [model.weight.grad.item() for model in self.models]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return adamw(self.settings, *zip(self.models, self.scales, strict=True))


def run(module: Bare) -> Bare:
    fit(module, [torch.zeros(1)] * len(module.coefficients))
    return module


def test_chunks_add_up_and_loss_and_norm_are_returned() -> None:
    module = Bare(config(max_grad_norm=0.0), [[3.0]], [1.0])
    start = module.models[0].weight.item()
    run(module)
    assert module.seen[0] == pytest.approx((3 * start, 3.0), abs=1e-12)
    assert module.gradient == [3.0]


def test_first_adamw_step_is_the_learning_rate_against_the_sign() -> None:
    """Adam's first step is lr g / (|g| + eps); the decoupled decay adds lr x decay x weight."""
    module = Bare(config(weight_decay=0.1), [[3.0], [3.0]][:1], [1.0])
    start = module.models[0].weight.item()
    run(module)
    assert module.models[0].weight.item() == pytest.approx(start * (1 - 0.2 * 0.1) - 0.2, abs=1e-6)


def test_each_model_is_clipped_on_its_own_and_has_its_own_rate() -> None:
    module = Bare(config(max_grad_norm=1.0), [[0.5, 40.0]], [1.0, 0.1])
    start = [model.weight.item() for model in module.models]
    run(module)
    assert module.gradient == pytest.approx([0.5, 1.0], abs=1e-6)
    moved = [before - model.weight.item() for before, model in zip(start, module.models, strict=True)]
    assert moved == pytest.approx([0.2, 0.02], abs=1e-6)
    assert module.seen[0][1] == pytest.approx(0.5)


def test_clipping_can_be_switched_off() -> None:
    assert run(Bare(config(max_grad_norm=0.0), [[40.0]], [1.0])).gradient == [40.0]


def test_gradients_do_not_leak_from_one_update_to_the_next() -> None:
    module = run(Bare(config(max_grad_norm=0.0), [[3.0], [5.0]], [1.0]))
    assert module.gradient == [5.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_non_finite_loss_names_the_step_and_leaves_the_weights(bad: float) -> None:
    module = Bare(config(name="mine"), [[1.0], [1.0], [bad]], [1.0])
    before: dict[str, torch.Tensor] = {}
    original = module.training_step

    def step(batch: torch.Tensor, batch_idx: int) -> None:
        before.update(weights(module))
        original(batch, batch_idx)

    module.training_step = step
    message = (
        r"mine: loss -?(nan|inf) and gradient norm (nan|inf) at update 2 of 10\n  remedy: lower algo.lr \(now 0.2\)"
    )
    with pytest.raises(TrainingError, match=message):
        run(module)
    assert len(module.seen) == 2
    assert all(torch.equal(value, before[name]) for name, value in weights(module).items())


def test_a_non_finite_gradient_of_a_finite_loss_is_caught() -> None:
    class Root(Bare):
        def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
            def loss_of(chunk: float) -> torch.Tensor:
                weight = self.models[0].weight
                return (weight - weight.detach()).abs().sqrt().sum()

            update(self, [1.0], loss_of, self.settings, step=batch_idx, total=10)

    module = Root(config(), [[1.0]], [1.0])
    before = weights(module)
    with pytest.raises(TrainingError, match="x: loss 0 and gradient norm nan at update 0 of 10"):
        run(module)
    assert all(torch.equal(value, before[name]) for name, value in weights(module).items())


def test_a_model_gone_bad_stops_training_and_is_left_as_it_is() -> None:
    policy = Policy(llama(dtype=torch.float32))
    with torch.no_grad():
        policy.model.lm_head.weight[3] = math.nan
    before = weights(policy)
    with pytest.raises(TrainingError, match="sft: loss nan and gradient norm nan at update 0 of 1"):
        fit(SFTModule(SFTConfig(), parts(policy)), [demonstrations(4)])
    for name, value in weights(policy).items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)


def test_a_sum_over_one_process_is_a_detached_copy() -> None:
    x = torch.ones(2, requires_grad=True)
    total = all_sum(x)
    assert torch.equal(total, torch.ones(2))
    assert not total.requires_grad
    assert total.data_ptr() != x.data_ptr()


def test_a_plugin_without_objective_is_told_what_to_write() -> None:
    message = re.escape("Forgetful must define objective(logps, mask)")
    forgetful = type("Forgetful", (CompletionModule,), {})
    with pytest.raises(NotImplementedError, match=message):
        fit(forgetful(SFTConfig(), parts(Policy(llama()))), [demonstrations(2)])
