"""Clipped objectives against their definition, case by case."""

from __future__ import annotations

import math

import pytest
import torch

from alignlab.numerics.surrogate import (
    Whole,
    cispo_surrogate,
    clipped_policy_loss,
    clipped_surrogate,
    clipped_value_loss,
    mean_ratio,
    sequence_mean,
    sequence_ratio,
    sequence_sum,
    token_mean,
    token_ratio,
)

F64 = torch.float64


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=F64)


@pytest.mark.parametrize("advantage", [-2.0, 0.0, 1.5])
@pytest.mark.parametrize("ratio", [0.2, 0.79, 0.81, 1.0, 1.19, 1.21, 4.0])
def test_policy_loss_closed_form(ratio: float, advantage: float) -> None:
    loss = clipped_policy_loss(tensor(math.log(ratio) - 3), tensor(-3.0), tensor(advantage), clip=0.2)
    expected = -min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
    assert loss.item() == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize(
    ("ratio", "advantage", "flows"),
    [(1.5, 1.0, False), (0.5, 1.0, True), (1.5, -1.0, True), (0.5, -1.0, False), (1.1, 1.0, True), (0.9, -1.0, True)],
)
def test_gradient_stops_only_where_the_bound_is_reached_in_the_wanted_direction(
    ratio: float, advantage: float, flows: bool
) -> None:
    logps = tensor(math.log(ratio)).requires_grad_()
    clipped_policy_loss(logps, tensor(0.0), tensor(advantage), clip=0.2).sum().backward()
    assert logps.grad.item() == pytest.approx(-ratio * advantage if flows else 0.0, abs=1e-15)


def test_gradient_at_ratio_one_is_minus_the_advantage() -> None:
    """The first update is plain policy gradient: d(-q A) / d log pi = -A."""
    logps = tensor(-1.0, -2.0, -3.0).requires_grad_()
    clipped_policy_loss(logps, logps.detach(), tensor(0.5, -2.0, 0.0), clip=0.2).sum().backward()
    assert logps.grad.tolist() == [[-0.5, 2.0, 0.0]]


def test_policy_loss_derivative_agrees_with_finite_differences() -> None:
    logps = tensor(-1.1, -2.4, -3.0, -0.2).requires_grad_()
    old, advantages = tensor(-1.0, -2.0, -3.3, -0.9), tensor(0.7, -1.0, 2.0, 1.0)
    assert torch.autograd.gradcheck(lambda x: clipped_policy_loss(x, old, advantages, clip=0.2), logps)


def test_policy_loss_is_a_pessimistic_bound() -> None:
    torch.manual_seed(0)
    logps, old, advantages = torch.randn(3, 8, 9, dtype=F64)
    plain = -(logps - old).exp() * advantages
    assert (clipped_policy_loss(logps, old, advantages, clip=0.2) >= plain - 1e-14).all()


def test_tokens_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    logps, old, advantages = torch.randn(3, 2, 5, dtype=F64)
    whole = clipped_policy_loss(logps, old, advantages, clip=0.2)
    apart = clipped_policy_loss(logps[:, 3:], old[:, 3:], advantages[:, 3:], clip=0.2)
    assert torch.equal(whole[:, 3:], apart)


@pytest.mark.parametrize("gap", [-80.0, 80.0])
def test_policy_loss_stays_finite_when_the_policy_has_moved_far(gap: float) -> None:
    logps = torch.tensor([[gap, gap]], requires_grad=True)
    loss = clipped_policy_loss(logps, torch.zeros(1, 2), torch.tensor([[1.0, -1.0]]), clip=0.2)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(logps.grad).all()


@pytest.mark.parametrize("returns", [-1.0, 0.3, 2.0])
@pytest.mark.parametrize("value", [-0.5, 0.1, 0.29, 0.31, 1.0])
def test_value_loss_closed_form(value: float, returns: float) -> None:
    loss = clipped_value_loss(tensor(value), tensor(0.1), tensor(returns), clip=0.2)
    near = 0.1 + min(max(value - 0.1, -0.2), 0.2)
    assert loss.item() == pytest.approx(0.5 * max((value - returns) ** 2, (near - returns) ** 2), abs=1e-15)


def test_value_loss_without_clip_is_half_the_squared_error() -> None:
    values = tensor(3.0, -1.0).requires_grad_()
    loss = clipped_value_loss(values, tensor(0.0, 0.0), tensor(1.0, 1.0), clip=0.0)
    loss.sum().backward()
    assert loss.tolist() == [[2.0, 2.0]]
    assert values.grad.tolist() == [[2.0, -2.0]]


def test_value_beyond_the_clip_towards_its_target_gets_no_gradient() -> None:
    values = tensor(0.5, -0.5).requires_grad_()
    clipped_value_loss(values, tensor(0.0, 0.0), tensor(1.0, 1.0), clip=0.2).sum().backward()
    assert values.grad.tolist() == [[0.0, -1.5]]


def test_value_loss_derivative_agrees_with_finite_differences() -> None:
    values = tensor(0.05, 0.5, -0.7).requires_grad_()
    old, returns = tensor(0.0, 0.0, 0.0), tensor(1.0, -1.0, 0.4)
    assert torch.autograd.gradcheck(lambda x: clipped_value_loss(x, old, returns, clip=0.2), values)


@pytest.mark.parametrize("advantage", [-2.0, 0.0, 1.5])
@pytest.mark.parametrize("ratio", [0.2, 0.81, 1.0, 1.27, 1.29, 4.0])
@pytest.mark.parametrize("dual", [0.0, 3.0])
def test_asymmetric_and_dual_clip_closed_form(ratio: float, advantage: float, dual: float) -> None:
    loss = clipped_surrogate(tensor(ratio), tensor(advantage), clip_low=0.2, clip_high=0.28, dual_clip=dual)
    objective = min(ratio * advantage, min(max(ratio, 0.8), 1.28) * advantage)
    if dual and advantage < 0:
        objective = max(objective, dual * advantage)
    assert loss.item() == pytest.approx(-objective, abs=1e-14)


def test_a_low_clip_of_one_sets_no_lower_bound() -> None:
    loss = clipped_surrogate(tensor(1e-6), tensor(-1.0), clip_low=1.0, clip_high=0.2)
    assert loss.item() == pytest.approx(1e-6, abs=1e-20)


def test_dual_clip_stops_the_gradient_of_tokens_that_became_far_too_likely() -> None:
    logps = tensor(math.log(2.9), math.log(3.1)).requires_grad_()
    clipped_policy_loss(logps, tensor(0.0, 0.0), tensor(-1.0, -1.0), clip=0.2, dual_clip=3.0).sum().backward()
    assert logps.grad.tolist() == [[pytest.approx(2.9), 0.0]]


@pytest.mark.parametrize("ratio", [0.1, 1.0, 4.9, 5.1, 80.0])
def test_cispo_bounds_the_weight_and_leaves_no_token_without_gradient(ratio: float) -> None:
    logps = tensor(math.log(ratio) - 2).requires_grad_()
    advantages = tensor(-1.5)
    loss = cispo_surrogate((logps + 2).exp(), logps, advantages, clip_low=1.0, clip_high=4.0)
    loss.sum().backward()
    weight = min(ratio, 5.0)
    assert loss.item() == pytest.approx(weight * 1.5 * (math.log(ratio) - 2), rel=1e-12)
    assert logps.grad.item() == pytest.approx(1.5 * weight, rel=1e-12)


LENGTHS = [3, 1, 4]
MASK = torch.tensor([[0, *([1] * n), *([0] * (4 - n))] for n in LENGTHS])


@pytest.fixture
def logps() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return tuple(-torch.rand(2, 3, 5, dtype=F64))


def test_ratios_closed_form(logps: tuple[torch.Tensor, torch.Tensor]) -> None:
    new, old = logps
    for b, n in enumerate(LENGTHS):
        gaps = [(new[b, t] - old[b, t]).item() for t in range(1, n + 1)]
        whole, mean = math.exp(sum(gaps)), math.exp(sum(gaps) / n)
        assert sequence_ratio(new, old, MASK)[b].item() == pytest.approx(whole, rel=1e-13)
        assert mean_ratio(new, old, MASK)[b].item() == pytest.approx(mean, rel=1e-13)
        for t, gap in enumerate(gaps, 1):
            assert token_ratio(new, old, MASK)[b, t].item() == pytest.approx(math.exp(gap), rel=1e-13)
    assert (token_ratio(new, old, MASK)[MASK == 0] == 1).all()


def test_ratios_of_a_row_that_selects_nothing_are_one(logps: tuple[torch.Tensor, torch.Tensor]) -> None:
    for ratio in (token_ratio, sequence_ratio, mean_ratio):
        assert (ratio(*logps, torch.zeros_like(MASK)) == 1).all()


def test_the_sequence_form_has_the_gradient_of_the_token_form_while_the_ratio_is_one(
    logps: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """GSPO and GRPO differ only off policy: mean over tokens of q_t A and s A agree to first order."""
    new = logps[0].clone().requires_grad_()
    advantages = torch.tensor([[1.0], [-2.0], [0.5]], dtype=F64)
    whole = Whole(torch.tensor(8), torch.tensor(3))
    found = []
    for ratio in (token_ratio, mean_ratio):
        loss = clipped_surrogate(ratio(new, logps[0], MASK), advantages, clip_low=0.2, clip_high=0.2)
        found.append(torch.autograd.grad(sequence_mean(loss.expand(3, 5), MASK, whole), new)[0])
    torch.testing.assert_close(*found, rtol=0, atol=1e-15)


def test_aggregations_are_the_means_they_are_named_after(logps: tuple[torch.Tensor, torch.Tensor]) -> None:
    values = logps[0]
    rows = [[values[b, t].item() for t in range(1, n + 1)] for b, n in enumerate(LENGTHS)]
    whole = Whole(torch.tensor(8), torch.tensor(3))
    flat = [value for row in rows for value in row]
    assert token_mean(values, MASK, whole).item() == pytest.approx(sum(flat) / 8, abs=1e-15)
    means = [sum(row) / len(row) for row in rows]
    assert sequence_mean(values, MASK, whole).item() == pytest.approx(sum(means) / 3, abs=1e-15)
    assert sequence_sum(values, MASK, whole).item() == pytest.approx(sum(flat) / 3, abs=1e-15)


@pytest.mark.parametrize("aggregate", [token_mean, sequence_mean, sequence_sum])
def test_shares_of_chunks_add_up(aggregate: object, logps: tuple[torch.Tensor, torch.Tensor]) -> None:
    values, whole = logps[0], Whole(torch.tensor(8), torch.tensor(3))
    parts = [aggregate(values[b : b + 1], MASK[b : b + 1], whole) for b in range(3)]
    torch.testing.assert_close(sum(parts), aggregate(values, MASK, whole), rtol=0, atol=1e-15)
    assert torch.equal(aggregate(values + 1e3 * (1 - MASK), MASK, whole), aggregate(values, MASK, whole))


def test_a_mean_over_no_tokens_is_zero_and_has_a_gradient() -> None:
    values = torch.ones(2, 3, dtype=F64, requires_grad=True)
    nothing = Whole(torch.tensor(0), torch.tensor(2))
    for aggregate in (token_mean, sequence_mean):
        loss = aggregate(values, torch.zeros(2, 3), nothing)
        assert loss.item() == 0
        assert torch.equal(torch.autograd.grad(loss, values)[0], torch.zeros(2, 3, dtype=F64))
