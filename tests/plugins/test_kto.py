"""KTO against its closed form and loops over a batch, in float64."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.kto.config import KTOConfig
from alignlab.plugins.kto.loss import kto_loss, reference_point
from alignlab.plugins.kto.module import KTOModule
from labelled import labels, ratios
from small import fit, gpt2, gradients, parts

from alignlab.errors import ConfigError
from alignlab.models.policy import Policy

F64 = torch.float64
BETA, UP, DOWN = 0.3, 1.2, 0.7


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def loss(log_ratios: torch.Tensor, desirable: torch.Tensor, z0: float) -> torch.Tensor:
    settings = dict(beta=BETA, lambda_desirable=UP, lambda_undesirable=DOWN)
    return kto_loss(log_ratios, desirable, torch.tensor(z0, dtype=log_ratios.dtype), **settings)


@pytest.mark.parametrize("z0", [0.0, 2.5])
@pytest.mark.parametrize("ratio", [-7.0, 0.0, 4.0])
def test_matches_closed_form_and_its_gradient(ratio: float, z0: float) -> None:
    given = torch.tensor([ratio, ratio], dtype=F64, requires_grad=True)
    found = loss(given, torch.tensor([True, False]), z0)
    found.sum().backward()
    s = sigmoid(BETA * (ratio - z0))
    assert found.tolist() == pytest.approx([UP * (1 - s), DOWN * s], abs=1e-15)
    slope = BETA * s * (1 - s)
    assert given.grad.tolist() == pytest.approx([-UP * slope, DOWN * slope], abs=1e-15)


def test_derivative_agrees_with_finite_differences() -> None:
    given = torch.tensor([1.0, -3.0, 0.5], dtype=F64, requires_grad=True)
    desirable = torch.tensor([True, False, False])
    assert torch.autograd.gradcheck(lambda each: loss(each, desirable, 0.4), (given,))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_extremes_saturate(dtype: torch.dtype) -> None:
    given = torch.tensor([1e4, -1e4, 1e4, -1e4], dtype=dtype, requires_grad=True)
    found = loss(given, torch.tensor([True, True, False, False]), 3.0)
    found.sum().backward()
    assert found.tolist() == pytest.approx([0, UP, DOWN, 0])
    assert given.grad.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("shift", "expected"), [(1.0, 3.0), (-1.0, 0.0)])
def test_reference_point_is_a_mean_of_sums_clamped_after_all_rows_are_in(shift: float, expected: float) -> None:
    mask = torch.tensor([[0, 1, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1]])
    logps, reference = torch.full((3, 4), shift, dtype=F64), torch.zeros(3, 4, dtype=F64)
    assert reference_point(logps, reference, mask).item() == pytest.approx(expected, abs=1e-15)
    asked: list[float] = []

    def other_process_too(own: torch.Tensor) -> torch.Tensor:
        asked.append(own.item())
        return own + (9 * shift if len(asked) == 1 else 3)  # three more rows of three tokens

    point = reference_point(logps, reference, mask, total=other_process_too)
    assert point.item() == pytest.approx(expected, abs=1e-15)
    assert asked == [9 * shift, 3]


@pytest.mark.parametrize("micro", [0, 1, 3])
def test_starts_at_a_half_and_first_gradients_are_a_quarter_of_beta(micro: int) -> None:
    """At policy = reference and z0 = 0 the slope of every row is -+ beta lambda / 4."""
    policy, other = Policy(gpt2()), Policy(gpt2())
    batch = labels(7, 0, policy)
    sign = torch.where(batch.desirable, 1.0, -1.0).double()
    (-BETA / 4 * (sign * other(batch.sequences).logps.sum(-1)).mean()).backward()
    log = fit(KTOModule(KTOConfig(beta=BETA, max_grad_norm=0.0), parts(policy, micro=micro)), [batch])
    assert log[0]["train/loss"] == pytest.approx(0.5, abs=1e-14)
    assert log[0]["train/reference_point"] == pytest.approx(0, abs=1e-14)
    expected = gradients(other)
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize("micro", [0, 1, 3])
@pytest.mark.parametrize(("start", "clamped"), [(3, False), (4, True)])
def test_later_z0_is_one_number_for_the_whole_batch_and_a_constant(
    micro: int, start: int, clamped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, moved = Policy(gpt2()), Policy(gpt2(start))
    batch = labels(7, 0, reference)
    with torch.no_grad():
        mean = ratios(moved, batch, mismatched=True).mean().item()
    assert (mean < 0) is clamped
    z0 = max(0.0, mean)
    found = ratios(moved, batch)
    rows = [
        UP * (1 - torch.sigmoid(BETA * (r - z0))) if good else DOWN * (1 - torch.sigmoid(BETA * (z0 - r)))
        for r, good in zip(found, batch.desirable.tolist(), strict=True)
    ]
    expected = sum(rows) / 7
    expected.backward()
    wanted = gradients(moved)
    moved.zero_grad()
    config = KTOConfig(beta=BETA, lambda_desirable=UP, lambda_undesirable=DOWN, max_grad_norm=0.0, warmup=0.0)
    module = KTOModule(config, parts(moved, micro=micro))
    # the policy is no longer the reference
    monkeypatch.setattr("alignlab.modules.gates.disagreement", lambda *given: "")
    log = fit(module, [batch])[0]
    assert log["train/reference_point"] == pytest.approx(z0, abs=1e-12)
    assert log["train/loss"] == pytest.approx(expected.item(), abs=1e-12)
    good = batch.desirable
    assert log["train/desirable_reward"] == pytest.approx(BETA * found[good].mean().item(), abs=1e-12)
    assert log["train/undesirable_reward"] == pytest.approx(BETA * found[~good].mean().item(), abs=1e-12)
    for name, gradient in gradients(moved).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(beta=0.0), "algo.beta must lie in (0, inf), got 0.0"),
        (dict(lambda_desirable=-1.0), "algo.lambda_desirable must lie in [0, inf), got -1.0"),
        (dict(lambda_desirable=0.0, lambda_undesirable=0.0), "leave nothing to learn"),
    ],
)
def test_settings_that_cannot_work_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        KTOConfig(**setting)
