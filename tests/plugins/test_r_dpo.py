"""R-DPO against its closed form and its gradient, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.r_dpo.config import RDPOConfig
from alignlab.plugins.r_dpo.loss import r_dpo_loss

from alignlab.errors import ConfigError
from alignlab.numerics.logps import PairLogps

F64 = torch.float64
LENGTHS = [(4, 9), (9, 4), (6, 6)]


def pair(
    chosen: float, rejected: float, lengths: tuple[int, int] = (4, 9), *, grad: bool = False, dtype: torch.dtype = F64
) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=grad) for x in (chosen, rejected))
    return PairLogps(*sides, *(torch.tensor([n], dtype=dtype) for n in lengths))


def gradients(lengths: tuple[int, int], alpha: float, beta: float = 0.5) -> tuple[float, float]:
    policy = pair(-3.0, -7.0, lengths, grad=True)
    r_dpo_loss(policy, pair(-4.0, -5.0, lengths), beta=beta, length_penalty=alpha).loss.sum().backward()
    return policy.chosen.grad.item(), policy.rejected.grad.item()


@pytest.mark.parametrize("beta", [0.05, 1.0])
@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_closed_form(
    beta: float, alpha: float, lengths: tuple[int, int], chosen: float, rejected: float
) -> None:
    z = beta * ((chosen + 4.0) - (rejected + 5.0))
    expected = math.log(1 + math.exp(-z - alpha * (lengths[0] - lengths[1])))
    policy, reference = pair(chosen, rejected, lengths), pair(-4.0, -5.0, lengths)
    terms = r_dpo_loss(policy, reference, beta=beta, length_penalty=alpha)
    assert terms.loss.item() == pytest.approx(expected, abs=1e-14)
    assert terms.implicit_margin.item() == pytest.approx(z, abs=1e-14)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_gradient_shrinks_where_chosen_is_longer_and_grows_where_it_is_shorter(lengths: tuple[int, int]) -> None:
    longer = lengths[0] - lengths[1]
    plain, priced = gradients(lengths, 0.0)[0], gradients(lengths, 0.1)[0]
    assert plain < 0
    assert priced < 0
    assert math.copysign(1, abs(plain) - abs(priced)) == math.copysign(1, longer) if longer else priced == plain


@pytest.mark.parametrize("lengths", LENGTHS)
def test_gradient_matches_closed_form(lengths: tuple[int, int]) -> None:
    """z = 0.5 * (1 + 2) = 1.5."""
    expected = 0.5 / (1 + math.exp(1.5 + 0.1 * (lengths[0] - lengths[1])))
    assert gradients(lengths, 0.1) == pytest.approx((-expected, expected), abs=1e-15)


def test_optimum_of_the_priced_objective_explains_the_labels() -> None:
    """The policy that maximises E[r - alpha |y|] - beta KL over three completions gives the likelihood under r."""
    reward, lengths, prior = (0.3, 1.1, -0.4), (2, 7, 5), (0.5, 0.2, 0.3)
    alpha, beta = 0.2, 0.7
    weight = [p * math.exp((r - alpha * n) / beta) for p, r, n in zip(prior, reward, lengths, strict=True)]
    policy = [math.log(w / sum(weight)) for w in weight]
    for w, l_ in ((0, 1), (1, 2), (2, 0)):
        size = (lengths[w], lengths[l_])
        best, start = pair(policy[w], policy[l_], size), pair(math.log(prior[w]), math.log(prior[l_]), size)
        found = r_dpo_loss(best, start, beta=beta, length_penalty=alpha).loss.item()
        assert found == pytest.approx(math.log(1 + math.exp(reward[l_] - reward[w])), abs=1e-14)


@pytest.mark.parametrize(("lengths", "value"), [((6, 6), math.log(2)), ((9, 4), math.log(1 + math.exp(-0.5)))])
def test_value_where_policy_equals_reference(lengths: tuple[int, int], value: float) -> None:
    same = pair(-3.0, -7.0, lengths)
    assert r_dpo_loss(same, same, beta=0.3, length_penalty=0.1).loss.item() == pytest.approx(value, abs=1e-15)


def test_derivative_agrees_with_finite_differences() -> None:
    policy, reference = pair(-3.0, -7.0, grad=True), pair(-4.0, -5.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        moved = policy._replace(chosen=chosen, rejected=rejected)
        return r_dpo_loss(moved, reference, beta=0.3, length_penalty=0.05).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(
    ("lead", "lengths", "loss", "gradient"),
    [(-1e4, (4, 9), 10005.0, -1.0), (1e4, (4, 9), 0.0, 0.0), (0.0, (1, 10001), 1e4, -1.0), (0.0, (10001, 1), 0.0, 0.0)],
)
def test_extremes_stay_finite(
    dtype: torch.dtype, lead: float, lengths: tuple[int, int], loss: float, gradient: float
) -> None:
    policy = pair(lead, 0.0, lengths, grad=True, dtype=dtype)
    found = r_dpo_loss(policy, pair(0.0, 0.0, lengths, dtype=dtype), beta=1.0, length_penalty=1.0).loss
    found.sum().backward()
    assert found.item() == pytest.approx(loss)
    assert policy.chosen.grad.item() == pytest.approx(gradient)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(length_penalty=-0.1), "algo.length_penalty must lie in [0, inf), got -0.1"),
        (dict(length_normalised=True), "algo.length_normalised=true leaves algo.length_penalty nothing to price"),
    ],
)
def test_settings_that_cannot_work_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        RDPOConfig(**setting)
