"""MPO against its closed form and its gradient, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.mpo import METHOD
from alignlab.plugins.mpo.config import MPOConfig
from alignlab.plugins.mpo.loss import mpo_loss
from small import pairs

from alignlab.config import preset_config
from alignlab.errors import ConfigError
from alignlab.models.policy import TokenOutputs
from alignlab.modules.objective import PairObjective
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, *, grad: bool = False, dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=grad) for x in (chosen, rejected))
    return PairLogps(*sides, torch.tensor([4.0], dtype=dtype), torch.tensor([9.0], dtype=dtype))


def weights(preference: float, quality: float, beta: float = 0.1) -> dict[str, float]:
    return dict(beta=beta, preference_weight=preference, quality_weight=quality)


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


@pytest.mark.parametrize("beta", [0.05, 1.0])
@pytest.mark.parametrize(("preference", "quality"), [(0.8, 0.2), (1.0, 0.0), (0.0, 1.0), (2.0, 3.0)])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_closed_form(beta: float, preference: float, quality: float, chosen: float, rejected: float) -> None:
    r_w, r_l = beta * (chosen + 4.0), beta * (rejected + 5.0)
    expected = preference * softplus(r_l - r_w) + quality * (softplus(-r_w) + softplus(r_l))
    terms = mpo_loss(pair(chosen, rejected), pair(-4.0, -5.0), **weights(preference, quality, beta))
    assert terms.loss.item() == pytest.approx(expected, abs=1e-13)
    assert terms.implicit_margin.item() == pytest.approx(r_w - r_l, abs=1e-14)


def test_value_where_policy_equals_reference() -> None:
    same = pair(-3.0, -7.0)
    found = mpo_loss(same, same, **weights(0.8, 0.2)).loss.item()
    assert found == pytest.approx((0.8 + 2 * 0.2) * math.log(2), abs=1e-15)


def test_gradient_matches_closed_form() -> None:
    """r_w = 0.5, r_l = -1."""
    policy = pair(-3.0, -7.0, grad=True)
    mpo_loss(policy, pair(-4.0, -5.0), **weights(0.8, 0.2, 0.5)).loss.sum().backward()
    lead = 0.8 / (1 + math.exp(1.5))
    assert policy.chosen.grad.item() == pytest.approx(-0.5 * (lead + 0.2 / (1 + math.exp(0.5))), abs=1e-15)
    assert policy.rejected.grad.item() == pytest.approx(0.5 * (lead + 0.2 / (1 + math.exp(1.0))), abs=1e-15)


def test_derivative_agrees_with_finite_differences() -> None:
    policy, reference = pair(-3.0, -7.0, grad=True), pair(-4.0, -5.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return mpo_loss(policy._replace(chosen=chosen, rejected=rejected), reference, **weights(0.8, 0.2, 0.3)).loss

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("chosen", "rejected", "loss", "slope"), [(1e4, -1e4, 0.0, 0.0), (-1e4, 1e4, 2e4, -1.0)])
def test_extreme_log_ratios_stay_finite(
    dtype: torch.dtype, chosen: float, rejected: float, loss: float, slope: float
) -> None:
    policy = pair(chosen, rejected, grad=True, dtype=dtype)
    found = mpo_loss(policy, pair(0.0, 0.0, dtype=dtype), **weights(0.8, 0.2, 1.0)).loss
    found.sum().backward()
    assert found.item() == pytest.approx(loss)
    assert (policy.chosen.grad.item(), policy.rejected.grad.item()) == pytest.approx((slope, -slope))


def test_preset_adds_all_three_parts() -> None:
    """0.8 DPO + 0.2 BCO + 1.0 NLL of chosen a token, from token log-probabilities."""
    config = preset_config("mpo")
    batch = pairs(3)
    mask = batch.sequences.completion
    torch.manual_seed(0)
    policy, reference = (-torch.rand(mask.shape, dtype=F64) * mask for _ in range(2))
    found = PairObjective(METHOD, config)(TokenOutputs(policy), reference, batch.sequences).loss
    rewards = [0.1 * (p.sum() - r.sum()).item() for p, r in zip(policy, reference, strict=True)]
    for row in range(3):
        r_w, r_l = rewards[row], rewards[row + 3]
        written = -policy[row].sum().item() / mask[row].sum().item()
        expected = 0.8 * softplus(r_l - r_w) + 0.2 * (softplus(-r_w) + softplus(r_l)) + written
        assert found[row].item() == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("name", ["preference_weight", "quality_weight", "sft_weight"])
def test_settings_out_of_range_are_named(name: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"algo.{name} must lie in [0, inf), got -0.5")):
        MPOConfig(**{name: -0.5})
