"""The exact world against independent enumeration and the identities its optimum obeys."""

from __future__ import annotations

import math

import pytest
import torch

from alignlab.worlds import exact

EXACT = dict(atol=1e-12, rtol=0)


@pytest.fixture(scope="module")
def reference() -> torch.Tensor:
    return exact.sequence_logps(exact.reference_logits())


@pytest.fixture(scope="module")
def reward() -> torch.Tensor:
    return exact.rewards()


def by_hand(x: int, y: tuple[int, int, int]) -> tuple[float, float]:
    """Reward and reference log-probability with plain floats, token by token."""
    r = math.sin(1.7 + 0.9 * x + 1.3 * y[0] + 0.7 * y[1] + 2.1 * y[2])
    r += 0.5 * (y[0] == x % 6) + 0.5 * (y[1] == y[2])
    logp = 0.0
    for context, token in ((0, y[0]), (1 + y[0], y[1]), (7 + 6 * y[0] + y[1], y[2])):
        logits = [math.cos(0.4 * x + 1.1 * context + 0.8 * v) for v in range(6)]
        logp += logits[token] - math.log(sum(math.exp(value) for value in logits))
    return r, logp


@pytest.mark.parametrize(("x", "y"), [(0, (0, 0, 0)), (3, (3, 1, 1)), (7, (1, 5, 2)), (5, (5, 5, 4))])
def test_reward_and_reference_match_hand_computation(reference, reward, x, y):
    index = 36 * y[0] + 6 * y[1] + y[2]
    assert exact.completions()[index].tolist() == list(y)
    r, logp = by_hand(x, y)
    assert reward[x, index].item() == pytest.approx(r, abs=1e-14)
    assert reference[x, index].item() == pytest.approx(logp, abs=1e-12)


def test_shapes_and_precision(reference, reward):
    assert reward.shape == reference.shape == (8, 216)
    assert reward.dtype == reference.dtype == torch.float64
    assert exact.reference_logits().shape == (8, 43, 6)


def test_probabilities_sum_to_one(reference, reward):
    ones = torch.ones(8, dtype=torch.float64)
    torch.testing.assert_close(reference.exp().sum(-1), ones, **EXACT)
    torch.testing.assert_close(exact.optimum(reference, reward).exp().sum(-1), ones, **EXACT)


def test_value_of_the_optimum_is_beta_times_mean_log_partition(reference, reward):
    best = exact.objective(exact.optimum(reference, reward), reference, reward)
    torch.testing.assert_close(best, exact.best_value(reference, reward), **EXACT)


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
def test_gap_to_the_optimum_is_beta_times_divergence(reference, reward, beta):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 43, 6, generator=generator, dtype=torch.float64)
    policy, best = exact.sequence_logps(logits), exact.optimum(reference, reward, beta)
    gap = exact.best_value(reference, reward, beta) - exact.objective(policy, reference, reward, beta)
    torch.testing.assert_close(gap, beta * exact.divergence(policy, best).mean(), **EXACT)
    assert gap > 0


def test_gradient_vanishes_at_the_optimum_only(reference, reward):
    at_best = exact.TabularPolicy(exact.table(exact.optimum(reference, reward)))
    exact.objective(at_best(), reference, reward).backward()
    assert at_best.logits.grad.abs().max() < 1e-12
    at_start = exact.TabularPolicy()
    exact.objective(at_start(), reference, reward).backward()
    assert at_start.logits.grad.abs().max() > 1e-3


def test_table_inverts_sequence_logps(reference, reward):
    best = exact.optimum(reference, reward)
    torch.testing.assert_close(exact.sequence_logps(exact.table(best)), best, **EXACT)


def test_policy_starts_as_the_reference(reference):
    assert torch.equal(exact.TabularPolicy()(), reference)


def test_token_logps_sum_to_sequence_logps(reference):
    tokens = exact.token_logps(exact.reference_logits())
    assert tokens.shape == (8, 216, 3)
    torch.testing.assert_close(tokens.sum(-1), reference, **EXACT)


def test_preferences_are_complementary_and_ordered(reward):
    p = exact.preferences(reward)
    torch.testing.assert_close(p + p.transpose(1, 2), torch.ones_like(p), **EXACT)
    i, j = reward[2].argmax(), reward[2].argmin()
    expected = 1 / (1 + math.exp((reward[2, j] - reward[2, i]).item()))
    assert p[2, i, j].item() == pytest.approx(expected, abs=1e-14)
