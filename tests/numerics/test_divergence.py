"""KL and its estimators by enumerating everything a small model can say.

The sums run over all 4³ completions of a real GPT-2, all of it in float64, which Llama's norms are not. So
expectations and their gradients are exact, and statements about estimators are tested as equalities.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from small import gpt2

from alignlab.data.batch import pad
from alignlab.models.policy import Policy
from alignlab.numerics.divergence import ESTIMATORS, exact_kl, importance_weighted, k1, k2, k3

F64 = torch.float64
REPLIES = [list(reply) for reply in itertools.product(range(4), repeat=3)]
ALL = pad([([1, 2], reply) for reply in REPLIES], 0)


@pytest.fixture(scope="module")
def policies() -> tuple[Policy, Policy]:
    return Policy(gpt2(0, vocab_size=4)), Policy(gpt2(1, vocab_size=4))


def test_exact_kl_is_that_of_a_loop() -> None:
    torch.manual_seed(0)
    logits, other = 2 * torch.randn(2, 3, 5, dtype=F64)
    for t in range(3):
        p, q = ([math.exp(x) for x in row[t].tolist()] for row in (logits, other))
        p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
        expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        assert exact_kl(logits, other)[t].item() == pytest.approx(expected, abs=1e-14)


def test_exact_kl_is_zero_only_at_the_same_distribution() -> None:
    torch.manual_seed(0)
    logits, other = torch.randn(2, 50, 7, dtype=F64)
    assert (exact_kl(logits, other) > 0).all()
    torch.testing.assert_close(exact_kl(logits, logits + 30), torch.zeros(50, dtype=F64), rtol=0, atol=1e-13)


def test_exact_kl_gradient_closed_form() -> None:
    """d KL / d logit_v = p_v (log p_v - log q_v - KL)."""
    torch.manual_seed(0)
    logits, other = torch.randn(2, 6, dtype=F64)
    leaf = logits.clone().requires_grad_()
    exact_kl(leaf, other).backward()
    logp, logq = logits.log_softmax(-1), other.log_softmax(-1)
    kl = (logp.exp() * (logp - logq)).sum()
    torch.testing.assert_close(leaf.grad, logp.exp() * (logp - logq - kl), rtol=0, atol=1e-14)
    assert torch.autograd.gradcheck(exact_kl, (leaf, other.clone().requires_grad_()))


def test_exact_kl_of_extreme_logits_is_finite() -> None:
    far = torch.tensor([[1e4, -1e4, 0.0]])
    assert exact_kl(far, -far).item() == pytest.approx(2e4)
    assert torch.isfinite(exact_kl(far.bfloat16(), far)).all()


def test_estimators_closed_form() -> None:
    logps, reference = torch.tensor([-1.0, -2.5], dtype=F64), torch.tensor([-1.7, -2.0], dtype=F64)
    for place, u in enumerate([0.7, -0.5]):
        assert k1(logps, reference)[place].item() == pytest.approx(u, abs=1e-15)
        assert k2(logps, reference)[place].item() == pytest.approx(u * u / 2, abs=1e-15)
        assert k3(logps, reference)[place].item() == pytest.approx(math.exp(-u) - 1 + u, abs=1e-15)


def test_k3_keeps_its_digits_near_zero() -> None:
    """exp(-u) - 1 + u is u²/2 for small u; computed naively it would be rounding noise."""
    u = torch.tensor([1e-5], dtype=F64)
    assert k3(u, torch.zeros(1, dtype=F64)).item() == pytest.approx(5e-11, rel=1e-4)


def test_k2_and_k3_are_never_negative() -> None:
    u = torch.linspace(-20, 20, 999, dtype=F64)
    assert (k2(u, torch.zeros_like(u)) >= 0).all()
    assert (k3(u, torch.zeros_like(u)) >= 0).all()


@pytest.mark.parametrize("estimator", [k1, k2, k3])
def test_derivatives_of_estimators_agree_with_finite_differences(estimator: object) -> None:
    logps = torch.tensor([-1.0, -2.5], dtype=F64, requires_grad=True)
    reference = torch.tensor([-1.7, -2.0], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(estimator, (logps, reference))


def sequence(policy: Policy) -> torch.Tensor:
    """Log-probability of each of the 64 completions."""
    return policy(ALL).logps.sum(-1)


def test_expected_k1_and_k3_equal_the_kl_of_whole_completions(policies: tuple[Policy, Policy]) -> None:
    with torch.no_grad():
        logps, reference = map(sequence, policies)
    weights = [math.exp(x) for x in logps.tolist()]
    kl = sum(w * (a - b) for w, a, b in zip(weights, logps.tolist(), reference.tolist(), strict=True))
    assert kl > 0.1
    for estimator in (k1, k3):
        assert (logps.exp() * estimator(logps, reference)).sum().item() == pytest.approx(kl, abs=1e-12)
    assert (logps.exp() * k2(logps, reference)).sum().item() != pytest.approx(kl, abs=1e-2)


def test_sum_of_exact_next_token_kls_has_the_kl_as_expectation(policies: tuple[Policy, Policy]) -> None:
    """The chain rule, which lets evaluation report the low-variance estimate."""
    with torch.no_grad():
        logps, reference = map(sequence, policies)
        logits, other = (policy.completion_logits(ALL) for policy in policies)
        per_row = exact_kl(logits, other).view(len(REPLIES), 3).sum(-1)
    brute = (logps.exp() * (logps - reference)).sum()
    assert (logps.exp() * per_row).sum().item() == pytest.approx(brute.item(), abs=1e-12)


def expected_gradient(policies: tuple[Policy, Policy], estimator: object) -> list[torch.Tensor]:
    """Gradient of a loss on samples: the samples' weights are constants."""
    policy, reference = policies
    logps, fixed = sequence(policy), sequence(reference).detach()
    loss = (logps.detach().exp() * estimator(logps, fixed)).sum()
    return list(torch.autograd.grad(loss, list(policy.parameters())))


def true_gradient(policies: tuple[Policy, Policy], *, reverse: bool) -> list[torch.Tensor]:
    policy, reference = policies
    logps, fixed = sequence(policy), sequence(reference).detach()
    kl = (logps.exp() * (logps - fixed)).sum() if reverse else (fixed.exp() * (fixed - logps)).sum()
    return list(torch.autograd.grad(kl, list(policy.parameters())))


def test_k1_as_a_loss_has_no_expected_gradient(policies: tuple[Policy, Policy]) -> None:
    for gradient in expected_gradient(policies, k1):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


def test_k2_as_a_loss_has_the_gradient_of_kl_to_the_reference(policies: tuple[Policy, Policy]) -> None:
    expected = true_gradient(policies, reverse=True)
    assert max(float(g.abs().max()) for g in expected) > 1e-2
    for found, wanted in zip(expected_gradient(policies, k2), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_k3_as_a_loss_has_the_gradient_of_kl_from_the_reference(policies: tuple[Policy, Policy]) -> None:
    expected = true_gradient(policies, reverse=False)
    assert max(float(g.abs().max()) for g in expected) > 1e-2
    for found, wanted in zip(expected_gradient(policies, k3), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def per_token_gradient(policies: tuple[Policy, Policy], estimator: object) -> list[torch.Tensor]:
    policy, reference = policies
    logps, fixed = policy(ALL).logps, reference(ALL).logps.detach()
    loss = (logps.detach().sum(-1).exp() * estimator(logps, fixed).sum(-1)).sum()
    return list(torch.autograd.grad(loss, list(policy.parameters())))


def test_k2_per_token_gives_only_the_local_part(policies: tuple[Policy, Policy]) -> None:
    """Each visited prefix's own KL, with the visiting probabilities held fixed, and not the sequence gradient."""
    policy, reference = policies
    found = per_token_gradient(policies, k2)
    visited = sequence(policy).detach().exp()
    local = (
        visited * exact_kl(policy.completion_logits(ALL), reference.completion_logits(ALL).detach()).view(-1, 3).sum(-1)
    ).sum()
    for mine, wanted in zip(found, torch.autograd.grad(local, list(policy.parameters())), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-12)
    whole = true_gradient(policies, reverse=True)
    assert max(float((a - b).abs().max()) for a, b in zip(found, whole, strict=True)) > 1e-3


def test_kl_in_the_reward_with_return_to_go_gives_the_sequence_gradient(policies: tuple[Policy, Policy]) -> None:
    """REINFORCE on r_t = -(log pi - log ref)_t with return-to-go: minus the gradient of KL(policy || reference)."""
    policy, reference = policies
    logps, fixed = policy(ALL).logps, reference(ALL).logps.detach()
    rewards = -(logps.detach() - fixed)
    to_go = torch.zeros_like(rewards)
    for t in range(rewards.shape[1]):
        to_go[:, t] = rewards[:, t:].sum(-1)
    loss = (logps.detach().sum(-1).exp() * (logps * to_go).sum(-1)).sum()
    wanted = true_gradient(policies, reverse=True)
    for found, expected in zip(torch.autograd.grad(loss, list(policy.parameters())), wanted, strict=True):
        torch.testing.assert_close(found, -expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["k1", "k3"])
def test_weighted_by_the_ratio_an_unbiased_estimator_has_the_gradient_of_the_local_kl(
    policies: tuple[Policy, Policy], name: str
) -> None:
    """What k2 gives unweighted: each visited prefix's own KL, with the visiting probabilities held fixed."""
    policy, _ = policies
    old = policy(ALL).logps.detach()
    found = per_token_gradient(policies, lambda u, v: importance_weighted(ESTIMATORS[name](u, v), u, old))
    for mine, wanted in zip(found, per_token_gradient(policies, k2), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-12)


def test_the_weight_makes_estimates_from_another_policy_those_of_this_one() -> None:
    """E_old[q k] = KL for a single token, whatever the distribution it is drawn from."""
    torch.manual_seed(0)
    logp, reference, old = torch.randn(3, 6, dtype=F64).log_softmax(-1)
    kl = exact_kl(logp, reference).item()
    for estimator in (k1, k3):
        weighted = importance_weighted(estimator(logp, reference), logp, old)
        assert (old.exp() * weighted).sum().item() == pytest.approx(kl, abs=1e-14)
        assert (old.exp() * estimator(logp, reference)).sum().item() != pytest.approx(kl, abs=1e-2)
