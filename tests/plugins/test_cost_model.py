"""The cost model against its closed form, its figures against a loop, and its zero."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.cost_model.config import CostModelConfig
from alignlab.plugins.cost_model.loss import cost_loss
from alignlab.plugins.cost_model.module import CostModule
from small import F64, fit, gradients, pairs, parts, scorer

from alignlab import registry
from alignlab.data.batch import SafetyBatch
from alignlab.errors import ConfigError

ROWS = [(0.5, -0.3, True, False, True), (-1.0, 0.4, True, True, True), (2.0, 2.5, False, False, False)]
"""Cost of the worse one and of the other, whether each is harmful, whether an order was given."""


def by_hand(m: float, l_: float, m_harmful: bool, l_harmful: bool, ordered: bool, c: float = 0.0) -> float:
    def cost(x: float) -> float:
        return math.log(1 + math.exp(-x))

    signs = cost(m if m_harmful else -m) + cost(l_ if l_harmful else -l_)
    return ordered * cost(m - l_) + signs + c * (m**2 + l_**2) / 2


def tensors() -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    worse, better = (torch.tensor([row[i] for row in ROWS], dtype=F64, requires_grad=True) for i in (0, 1))
    labels = dict(harmful=torch.tensor([row[2:4] for row in ROWS]), ordered=torch.tensor([row[4] for row in ROWS]))
    return worse, better, labels


@pytest.mark.parametrize("c", [0.0, 0.3])
def test_value_and_gradient_closed_form(c: float) -> None:
    worse, better, labels = tensors()
    loss = cost_loss(worse, better, **labels, regularisation=c)
    assert loss.tolist() == pytest.approx([by_hand(*row, c) for row in ROWS], abs=1e-14)
    loss.sum().backward()
    for i, (m, l_, m_harmful, l_harmful, ordered) in enumerate(ROWS):
        z_m, z_l = (1 if harmful else -1 for harmful in (m_harmful, l_harmful))
        pull = ordered / (1 + math.exp(m - l_))
        expected = -pull - z_m / (1 + math.exp(z_m * m)) + c * m, pull - z_l / (1 + math.exp(z_l * l_)) + c * l_
        assert (worse.grad[i].item(), better.grad[i].item()) == pytest.approx(expected, abs=1e-14)
    assert torch.autograd.gradcheck(lambda m, l_: cost_loss(m, l_, **labels, regularisation=c), (worse, better))


def test_costs_of_zero_lose_log_two_for_each_label() -> None:
    zero, labels = torch.zeros(3, dtype=F64), tensors()[2]
    expected = [(2 + ordered) * math.log(2) for *_, ordered in ROWS]
    assert cost_loss(zero, zero, **labels).tolist() == pytest.approx(expected, abs=1e-15)


def test_signs_fix_the_zero_that_order_leaves_open() -> None:
    worse, better, labels = tensors()
    harmful = torch.tensor([[True, True], [True, True], [True, True]])
    moved = [cost_loss(worse + s, better + s, harmful=harmful, ordered=labels["ordered"]).sum().item() for s in (0, 1)]
    assert moved[1] < moved[0]
    assert registry.method("cost_model").fixes_zero
    assert not registry.method("reward_model").fixes_zero


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("cost", [-1e4, 1e4])
def test_extreme_costs_are_right_in_value_and_finite_in_gradient(cost: float, dtype: torch.dtype) -> None:
    worse = torch.tensor([cost, cost], dtype=dtype, requires_grad=True)
    labels = dict(harmful=torch.tensor([[True, False], [False, False]]), ordered=torch.tensor([True, True]))
    loss = cost_loss(worse, torch.zeros(2, dtype=dtype), **labels)
    order, rest = max(-cost, 0), math.log(2)
    expected = [order + max(-cost, 0) + rest, order + max(cost, 0) + rest]
    assert loss.tolist() == pytest.approx(expected, rel=1e-6)
    loss.sum().backward()
    assert torch.isfinite(worse.grad).all()


def judged(rows: int) -> SafetyBatch:
    """Random pairs; the second has no order, and every third completion is harmful."""
    batch = pairs(rows)
    harmful = (torch.arange(2 * rows) % 3 == 0).view(rows, 2)
    return SafetyBatch(batch.index, batch.sequences, harmful, torch.arange(rows) != 1)


@pytest.mark.parametrize("micro", [0, 3])
def test_module_logs_what_a_loop_counts(micro: int) -> None:
    judge, batch = scorer(), judged(5)
    worse, better = (side.tolist() for side in judge(batch.sequences).chunk(2))
    log = fit(CostModule(CostModelConfig(batch_size=5, regularisation=0.1), parts(judge, micro=micro)), [batch])[0]
    labels = zip(worse, better, batch.harmful.tolist(), batch.ordered.tolist(), strict=True)
    losses = [by_hand(m, l_, *harmful, ordered, 0.1) for m, l_, harmful, ordered in labels]
    assert log["train/loss"] == pytest.approx(sum(losses) / 5, abs=1e-6)
    ordered = [i for i in range(5) if i != 1]
    assert log["train/accuracy"] == pytest.approx(sum(worse[i] > better[i] for i in ordered) / 4)
    assert log["train/margin"] == pytest.approx(sum(worse[i] - better[i] for i in ordered) / 4, abs=1e-6)
    costs = [(cost, bool(batch.harmful[i, s])) for s, side in enumerate((worse, better)) for i, cost in enumerate(side)]
    assert log["train/sign_accuracy"] == pytest.approx(sum((c > 0) == bad for c, bad in costs) / 10)
    assert log["train/harmful_found"] == pytest.approx(sum(c > 0 for c, bad in costs if bad) / 4)


def test_micro_batches_change_nothing() -> None:
    found = []
    for micro in (0, 1, 3):
        module = CostModule(CostModelConfig(batch_size=5, max_grad_norm=0.0), parts(scorer(), micro=micro))
        fit(module, [judged(5)])
        found.append(gradients(module.scorer))
    for other in found[1:]:
        for name, gradient in found[0].items():
            torch.testing.assert_close(other[name], gradient, rtol=0, atol=1e-12, msg=name)


def test_figures_without_anything_to_count_are_left_out() -> None:
    batch = judged(4)
    nothing = SafetyBatch(batch.index, batch.sequences, torch.zeros(4, 2, dtype=torch.bool), torch.zeros(4).bool())
    log = fit(CostModule(CostModelConfig(batch_size=4), parts(scorer())), [nothing])[0]
    assert "train/sign_accuracy" in log
    assert not {"train/accuracy", "train/margin", "train/harmful_found"} & set(log)


def test_a_negative_regularisation_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("algo.regularisation must lie in [0, inf), got -0.1")):
        CostModelConfig(regularisation=-0.1)
