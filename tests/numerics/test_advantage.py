"""Shaped rewards, GAE and returns against loops written from the papers, and in the limits where they are known."""

from __future__ import annotations

import statistics

import pytest
import torch

from alignlab.numerics.advantage import (
    gae,
    group_mean,
    leave_one_out,
    leave_one_out_std,
    returns,
    rewards_to_go,
    sample_std,
    shaped_rewards,
    standardised,
)

F64 = torch.float64
STARTS, ENDS = [0, 2, 1, 3], [5, 3, 6, 4]  # first and one past the last completion token of each row
MASK = torch.tensor([[int(a <= t < b) for t in range(6)] for a, b in zip(STARTS, ENDS, strict=True)])


@pytest.fixture
def arrays() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    return tuple(torch.randn(3, 4, 6, dtype=F64))


def loop_gae(rewards: torch.Tensor, values: torch.Tensor, discount: float, lam: float) -> torch.Tensor:
    """Equation 16 as a double sum: A_t = sum_k (discount lam)^k (r + discount V' - V)_{t+k}."""
    out = torch.zeros(4, 6, dtype=F64)
    for b, (start, end) in enumerate(zip(STARTS, ENDS, strict=True)):
        for t in range(start, end):
            for k in range(end - t):
                following = values[b, t + k + 1].item() if t + k + 1 < end else 0.0
                delta = rewards[b, t + k].item() + discount * following - values[b, t + k].item()
                out[b, t] += (discount * lam) ** k * delta
    return out


def to_go(rewards: torch.Tensor, discount: float) -> torch.Tensor:
    out = torch.zeros(4, 6, dtype=F64)
    for b, (start, end) in enumerate(zip(STARTS, ENDS, strict=True)):
        for t in range(start, end):
            out[b, t] = sum(discount ** (s - t) * rewards[b, s].item() for s in range(t, end))
    return out


@pytest.mark.parametrize("discount", [1.0, 0.9])
@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
def test_gae_agrees_with_the_double_sum(arrays: tuple[torch.Tensor, ...], discount: float, lam: float) -> None:
    rewards, values, _ = arrays
    found = gae(rewards, values, MASK, discount=discount, gae_lambda=lam)
    torch.testing.assert_close(found, loop_gae(rewards, values, discount, lam), rtol=0, atol=1e-13)


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_lambda_one_is_discounted_return_minus_value(arrays: tuple[torch.Tensor, ...], discount: float) -> None:
    rewards, values, _ = arrays
    found = gae(rewards, values, MASK, discount=discount, gae_lambda=1.0)
    torch.testing.assert_close(found, to_go(rewards, discount) - values * MASK, rtol=0, atol=1e-13)


def test_lambda_zero_is_the_one_step_error() -> None:
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    rewards = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 9.0]], dtype=F64)
    values = torch.full((2, 3), 0.5, dtype=F64)
    expected = torch.tensor([[0.0, 0.0, 0.5], [0.0, 0.5, 0.0]], dtype=F64)
    assert torch.equal(gae(rewards, values, mask, gae_lambda=0.0), expected)


def test_right_values_leave_no_advantage(arrays: tuple[torch.Tensor, ...]) -> None:
    rewards, _, _ = arrays
    found = gae(rewards, to_go(rewards, 1.0), MASK, gae_lambda=0.7)
    torch.testing.assert_close(found, torch.zeros(4, 6, dtype=F64), rtol=0, atol=1e-13)


def test_what_is_not_selected_changes_nothing(arrays: tuple[torch.Tensor, ...]) -> None:
    rewards, values, _ = arrays
    off = 1e3 * (1 - MASK)
    assert torch.equal(gae(rewards, values, MASK), gae(rewards + off, values - off, MASK))
    assert torch.equal(gae(rewards, values, MASK) * (1 - MASK), torch.zeros(4, 6, dtype=F64))


def test_order_and_padding_of_rows_change_nothing(arrays: tuple[torch.Tensor, ...]) -> None:
    rewards, values, _ = arrays
    order = torch.tensor([2, 0, 3, 1])
    whole = gae(rewards, values, MASK)
    assert torch.equal(gae(rewards[order], values[order], MASK[order]), whole[order])
    wider = [torch.nn.functional.pad(x, (2, 3)) for x in (rewards, values, MASK)]
    assert torch.equal(gae(*wider)[:, 2:8], whole)


def test_gae_derivative_agrees_with_finite_differences(arrays: tuple[torch.Tensor, ...]) -> None:
    rewards, values, _ = (x.clone().requires_grad_() for x in arrays)
    assert torch.autograd.gradcheck(lambda r, v: gae(r, v, MASK, discount=0.9), (rewards, values))


def test_returns_are_raw_advantage_plus_value(arrays: tuple[torch.Tensor, ...]) -> None:
    rewards, values, _ = arrays
    advantages = gae(rewards, values, MASK, gae_lambda=1.0)
    torch.testing.assert_close(returns(advantages, values, MASK), to_go(rewards, 1.0), rtol=0, atol=1e-13)


def test_returns_do_not_depend_on_values_when_lambda_is_one(arrays: tuple[torch.Tensor, ...]) -> None:
    rewards, values, others = arrays
    found = [returns(gae(rewards, v, MASK, gae_lambda=1.0), v, MASK) for v in (values, others)]
    torch.testing.assert_close(*found, rtol=0, atol=1e-13)


@pytest.mark.parametrize("beta", [0.0, 0.1, 2.0])
def test_shaped_rewards_are_those_of_a_loop(arrays: tuple[torch.Tensor, ...], beta: float) -> None:
    logps, reference, _ = arrays
    score = torch.tensor([1.5, -0.5, 0.25, 7.0], dtype=F64)
    found = shaped_rewards(score, logps, reference, MASK, beta=beta)
    for b, (start, end) in enumerate(zip(STARTS, ENDS, strict=True)):
        for t in range(6):
            price = -beta * (logps[b, t] - reference[b, t]).item() if start <= t < end else 0.0
            expected = price + (score[b].item() if t == end - 1 else 0.0)
            assert found[b, t].item() == pytest.approx(expected, abs=1e-14)


def test_shaped_rewards_sum_to_the_kl_regularised_objective(arrays: tuple[torch.Tensor, ...]) -> None:
    logps, reference, _ = arrays
    score = torch.tensor([1.5, -0.5, 0.25, 7.0], dtype=F64)
    total = shaped_rewards(score, logps, reference, MASK, beta=0.1).sum(-1)
    for b, (start, end) in enumerate(zip(STARTS, ENDS, strict=True)):
        log_ratio = sum((logps[b, t] - reference[b, t]).item() for t in range(start, end))
        assert total[b].item() == pytest.approx(score[b].item() - 0.1 * log_ratio, abs=1e-14)


def test_shaped_rewards_ignore_what_is_not_selected(arrays: tuple[torch.Tensor, ...]) -> None:
    logps, reference, noise = arrays
    score = torch.ones(4, dtype=F64)
    changed = shaped_rewards(score, logps + 50 * noise * (1 - MASK), reference, MASK, beta=0.1)
    assert torch.equal(changed, shaped_rewards(score, logps, reference, MASK, beta=0.1))


def test_a_single_token_completion_gets_both_price_and_score() -> None:
    one = torch.tensor([[-1.0]], dtype=F64)
    found = shaped_rewards(torch.tensor([3.0], dtype=F64), one, one - 1, torch.ones(1, 1), beta=0.5)
    assert found.item() == 2.5


@pytest.mark.parametrize("discount", [1.0, 0.9, 0.0])
def test_rewards_to_go_are_those_of_a_loop(arrays: tuple[torch.Tensor, ...], discount: float) -> None:
    rewards = arrays[0]
    found = rewards_to_go(rewards, MASK, discount=discount)
    torch.testing.assert_close(found, to_go(rewards, discount), rtol=0, atol=1e-13)
    assert torch.equal(rewards_to_go(rewards + 1e3 * (1 - MASK), MASK, discount=discount), found)


GROUPS = [[1.0, 3.0, -2.0, 0.5], [0.25, 0.25, 0.25, 9.0], [4.0, -4.0, 4.0, -4.0]]
REWARDS = torch.tensor(GROUPS, dtype=F64)


def others(group: list[float], left_out: int) -> list[float]:
    return [value for place, value in enumerate(group) if place != left_out]


def test_baselines_and_deviations_are_those_of_the_definitions() -> None:
    for n, group in enumerate(GROUPS):
        assert sample_std(REWARDS)[n].item() == pytest.approx(statistics.stdev(group), abs=1e-14)
        for i in range(4):
            rest = others(group, i)
            assert group_mean(REWARDS)[n, i].item() == pytest.approx(statistics.fmean(group), abs=1e-14)
            assert leave_one_out(REWARDS)[n, i].item() == pytest.approx(statistics.fmean(rest), abs=1e-14)
            assert leave_one_out_std(REWARDS)[n, i].item() == pytest.approx(statistics.stdev(rest), abs=1e-14)


@pytest.mark.parametrize("size", [2, 3, 16])
def test_the_mean_of_the_others_stretches_the_advantage_by_g_over_g_less_one(size: int) -> None:
    torch.manual_seed(0)
    rewards = torch.randn(5, size, dtype=F64)
    short, long = rewards - group_mean(rewards), rewards - leave_one_out(rewards)
    torch.testing.assert_close(short, long * (size - 1) / size, rtol=0, atol=1e-14)
    torch.testing.assert_close(long.sum(-1), torch.zeros(5, dtype=F64), rtol=0, atol=1e-13)


def test_expected_gradients_of_the_baselines_over_all_pairs_of_a_three_armed_bandit() -> None:
    """Leave-one-out gives the gradient of the expected reward, the group mean (G - 1) / G of it."""
    logits = torch.tensor([0.3, -0.7, 0.1], dtype=F64, requires_grad=True)
    reward = torch.tensor([1.0, -0.5, 2.0], dtype=F64)
    logp = logits.log_softmax(-1)
    true = torch.autograd.grad((logp.exp() * reward).sum(), logits, retain_graph=True)[0]
    for baseline, factor in ((leave_one_out, 1.0), (group_mean, 0.5)):
        loss = torch.zeros((), dtype=F64)
        for pair in torch.cartesian_prod(torch.arange(3), torch.arange(3)):
            got = reward[pair][None]
            weight = logp[pair].sum().exp().detach()
            loss = loss + weight * ((got - baseline(got))[0] * logp[pair]).mean()
        found = torch.autograd.grad(loss, logits, retain_graph=True)[0]
        torch.testing.assert_close(found, factor * true, rtol=0, atol=1e-14)


def test_where_nothing_varies_the_deviation_is_exactly_zero_and_nothing_is_divided() -> None:
    same = torch.full((1, 7), 0.1)
    assert sample_std(same).item() == 0.0
    assert torch.equal(leave_one_out_std(torch.tensor([[0.1, 0.1, 0.1, 5.0]]))[0, 3], torch.tensor(0.0))
    advantages = torch.tensor([[3.0, -1.0]], dtype=F64)
    assert torch.equal(standardised(advantages, torch.zeros(1, 1, dtype=F64), eps=1e-9), advantages)
    assert standardised(advantages, torch.ones(1, 1, dtype=F64), eps=1.0).tolist() == [[1.5, -0.5]]


def test_standardised_advantages_do_not_depend_on_zero_and_unit_of_the_reward() -> None:
    def advantages(rewards: torch.Tensor) -> torch.Tensor:
        return standardised(rewards - group_mean(rewards), sample_std(rewards), eps=0.0)

    torch.testing.assert_close(advantages(7 * REWARDS - 3), advantages(REWARDS), rtol=0, atol=1e-13)
