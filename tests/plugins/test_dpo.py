"""DPO against its closed form and its gradient, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.dpo.config import DPOConfig
from alignlab.plugins.dpo.loss import dpo_loss
from small import fit, gpt2, gradients, pair_module, pairs

from alignlab import registry
from alignlab.errors import ConfigError
from alignlab.models.policy import Policy
from alignlab.modules.objective import PairObjective
from alignlab.numerics.logps import PairLogps

F64 = torch.float64


def pair(chosen: float, rejected: float, *, grad: bool = False, dtype: torch.dtype = F64) -> PairLogps:
    sides = (torch.tensor([x], dtype=dtype, requires_grad=grad) for x in (chosen, rejected))
    return PairLogps(*sides, torch.tensor([4.0]), torch.tensor([9.0]))


def loss(policy: PairLogps, reference: PairLogps, beta: float, label_smoothing: float = 0.0) -> torch.Tensor:
    return dpo_loss(policy, reference, beta=beta, label_smoothing=label_smoothing).loss


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("eps", [0.0, 0.1, 0.4])
@pytest.mark.parametrize(("chosen", "rejected"), [(-3.0, -7.0), (-9.0, -2.0)])
def test_matches_closed_form(beta: float, eps: float, chosen: float, rejected: float) -> None:
    z = beta * ((chosen - -4.0) - (rejected - -5.0))
    expected = (1 - eps) * math.log(1 + math.exp(-z)) + eps * math.log(1 + math.exp(z))
    terms = dpo_loss(pair(chosen, rejected), pair(-4.0, -5.0), beta=beta, label_smoothing=eps)
    assert terms.loss.item() == pytest.approx(expected, abs=1e-14)
    assert terms.implicit_margin.item() == pytest.approx(z, abs=1e-15)


@pytest.mark.parametrize("eps", [0.0, 0.2])
def test_is_log_two_where_policy_equals_reference(eps: float) -> None:
    same = pair(-3.0, -7.0)
    assert loss(same, same, 0.1, eps).item() == pytest.approx(math.log(2), abs=1e-15)


@pytest.mark.parametrize("z", [-5.0, -1.0, 0.0, 1.0, 5.0])
def test_without_smoothing_conservative_dpo_is_dpo(z: float) -> None:
    found = loss(pair(z, 0.0), pair(0.0, 0.0), 1.0, 0.0).item()
    assert found == -torch.nn.functional.logsigmoid(torch.tensor(z, dtype=F64)).item()


def test_gradient_weighs_pairs_by_how_wrong_they_are() -> None:
    """Section 4 of the paper: d loss / d log pi(y_w) = -beta sigmoid(-z), and the opposite for y_l."""
    policy = pair(-3.0, -7.0, grad=True)
    loss(policy, pair(-4.0, -5.0), 0.5).sum().backward()
    expected = -0.5 / (1 + math.exp(1.5))
    assert policy.chosen.grad.item() == pytest.approx(expected, abs=1e-15)
    assert policy.rejected.grad.item() == pytest.approx(-expected, abs=1e-15)


@pytest.mark.parametrize("eps", [0.1, 0.3])
def test_gradient_of_conservative_dpo_vanishes_where_the_label_noise_is_matched(eps: float) -> None:
    """sigmoid(z) = 1 - eps: beyond it the loss pulls back."""
    z = math.log((1 - eps) / eps)
    for shift, sign in ((0.0, 0), (0.5, 1), (-0.5, -1)):
        policy = pair(z + shift, 0.0, grad=True)
        loss(policy, pair(0.0, 0.0), 1.0, eps).sum().backward()
        slope = policy.chosen.grad.item()
        assert slope == pytest.approx(1 / (1 + math.exp(-z - shift)) - (1 - eps), abs=1e-15)
        assert (abs(slope) < 1e-15) if sign == 0 else (slope * sign > 0)


def test_derivative_agrees_with_finite_differences() -> None:
    policy, reference = pair(-3.0, -7.0, grad=True), pair(-4.0, -5.0)

    def of(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return loss(policy._replace(chosen=chosen, rejected=rejected), reference, 0.3, 0.1)

    assert torch.autograd.gradcheck(of, (policy.chosen, policy.rejected))


def test_lengths_play_no_part() -> None:
    longer = pair(-3.0, -7.0)._replace(chosen_lengths=torch.tensor([400.0]))
    assert torch.equal(loss(longer, pair(-4.0, -5.0), 0.1), loss(pair(-3.0, -7.0), pair(-4.0, -5.0), 0.1))


def test_only_differences_between_the_two_completions_count() -> None:
    """A constant added to both log-probabilities, such as a change of the prompt's, changes nothing."""
    shifted = loss(pair(-3.0 + 2, -7.0 + 2), pair(-4.0 - 1, -5.0 - 1), 0.1)
    torch.testing.assert_close(shifted, loss(pair(-3.0, -7.0), pair(-4.0, -5.0), 0.1), rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("margin", "expected", "slope"), [(-1e5, 1e5, -1.0), (1e5, 0.0, 0.0)])
def test_extreme_margins_stay_finite(dtype: torch.dtype, margin: float, expected: float, slope: float) -> None:
    policy = pair(margin, 0.0, grad=True, dtype=dtype)
    found = loss(policy, pair(0.0, 0.0, dtype=dtype), 1.0)
    found.sum().backward()
    assert found.item() == pytest.approx(expected)
    assert policy.chosen.grad.item() == pytest.approx(slope)


BETA = 0.3


def summed(policy: Policy, batch: object) -> tuple[torch.Tensor, torch.Tensor]:
    return policy(batch.sequences).logps.sum(-1).chunk(2)


def test_first_step_has_loss_log_two_and_half_beta_times_the_difference_of_gradients() -> None:
    """At policy = reference every pair weighs the same: -beta / 2 (grad log pi(y_w) - grad log pi(y_l)), averaged."""
    policy, other = Policy(gpt2()), Policy(gpt2())
    batch = pairs(6, 0, policy)
    chosen, rejected = summed(other, batch)
    (-BETA / 2 * (chosen - rejected).mean()).backward()
    log = fit(pair_module("dpo", DPOConfig(beta=BETA, max_grad_norm=0.0), policy, micro=4), [batch])
    assert log[0]["train/loss"] == pytest.approx(math.log(2), abs=1e-14)
    assert log[0]["train/accuracy"] == 0.5
    assert log[0]["train/margin"] == pytest.approx(0, abs=1e-14)
    expected = gradients(other)
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-12, msg=name)


def test_what_is_logged_after_the_first_step_is_what_a_loop_finds() -> None:
    policy, reference = Policy(gpt2()), Policy(gpt2())
    batch = pairs(6, 0, reference)
    module = pair_module("dpo", DPOConfig(beta=BETA, batch_size=6, lr=1e-2, warmup=0.0), policy, total=2)
    moved: list[list[float]] = []
    step = module.training_step

    def spy(given: object, batch_idx: int) -> None:
        with torch.no_grad():
            moved[:] = [side.tolist() for side in summed(policy, given)]
        step(given, batch_idx)

    module.training_step = spy
    log = fit(module, [batch, batch])[1]
    fixed = [side.tolist() for side in summed(reference, batch)]
    rewards = [[BETA * (p - r) for p, r in zip(*side, strict=True)] for side in zip(moved, fixed, strict=True)]
    margins = [w - l_ for w, l_ in zip(*rewards, strict=True)]
    assert log["train/loss"] == pytest.approx(sum(math.log(1 + math.exp(-z)) for z in margins) / 6, abs=1e-12)
    assert log["train/margin"] == pytest.approx(sum(margins) / 6, abs=1e-12)
    assert log["train/accuracy"] == pytest.approx(sum(z > 0 for z in margins) / 6)
    assert log["train/chosen_logps"] == pytest.approx(sum(moved[0]) / 6, abs=1e-12)
    assert log["train/rejected_logps"] == pytest.approx(sum(moved[1]) / 6, abs=1e-12)
    assert log["samples"] == 12


def test_identical_completions_teach_nothing() -> None:
    policy = Policy(gpt2())
    batch = pairs(4, 0, policy)
    half = batch.sequences.select(torch.arange(4).repeat(2))
    same = type(batch)(batch.index, half, batch.reference[torch.arange(4).repeat(2)])
    fit(pair_module("dpo", DPOConfig(), policy), [same])
    for gradient in gradients(policy).values():
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0\n  remedy: Price of KL to the reference; larger st"),
        (dict(beta=-1.0), "algo.beta must lie in (0, inf), got -1.0"),
        (dict(label_smoothing=0.5), "algo.label_smoothing must lie in [0, 0.5), got 0.5"),
        (dict(label_smoothing=-0.1), "The default is algo.label_smoothing=0.0."),
        (dict(epochs=0), "algo.epochs must lie in [1, inf), got 0"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        DPOConfig(**setting)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("eps", [0.0, 0.2])
def test_soft_labels_are_the_expected_loss_over_labels(p: float, eps: float) -> None:
    policy, reference = Policy(gpt2()), Policy(gpt2(1))
    batch = pairs(4, 0, reference, probability=torch.full((4,), p, dtype=F64))
    objective = PairObjective(registry.method("dpo"), DPOConfig(beta=BETA, label_smoothing=eps))
    terms = objective(policy(batch.sequences), batch.reference, batch.sequences, batch.probability)
    ratios = [(a - b).tolist() for a, b in zip(summed(policy, batch), summed(reference, batch), strict=True)]
    believed = p * (1 - eps) + (1 - p) * eps
    for found, w, lo in zip(terms.loss.tolist(), *ratios, strict=True):
        z = BETA * (w - lo)
        expected = believed * math.log1p(math.exp(-z)) + (1 - believed) * math.log1p(math.exp(z))
        assert found == pytest.approx(expected, abs=1e-13)
