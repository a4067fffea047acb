"""Clipped objectives against their definition, case by case."""

from __future__ import annotations

import math

import pytest
import torch

from alignlab.numerics.surrogate import clipped_policy_loss, clipped_value_loss

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
