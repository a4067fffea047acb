"""Filtered SFT against a loop over the tokens of desirable rows, in float64."""

from __future__ import annotations

import pytest
import torch
from alignlab.plugins.filtered_sft.config import FilteredSFTConfig
from alignlab.plugins.filtered_sft.loss import desirable_tokens, filtered_sft_loss
from alignlab.plugins.filtered_sft.module import FilteredSFTModule
from labelled import labels
from small import fit, gpt2, gradients, parts, weights

from alignlab.models.policy import Policy

F64 = torch.float64


def module(policy: Policy, **more: float) -> FilteredSFTModule:
    micro, total = int(more.pop("micro", 0)), int(more.pop("total", 1))
    return FilteredSFTModule(FilteredSFTConfig(max_grad_norm=0.0, **more), parts(policy, micro=micro, total=total))


def test_matches_closed_form_and_its_gradient() -> None:
    logps = torch.tensor([-3.0, -7.0, -torch.inf], dtype=F64, requires_grad=True)
    desirable = torch.tensor([True, False, False])
    found = filtered_sft_loss(logps, desirable)
    found.sum().backward()
    assert found.tolist() == [3.0, 0.0, 0.0]
    assert logps.grad.tolist() == [-1.0, 0.0, 0.0]
    assert desirable_tokens(torch.tensor([4.0, 9.0, 2.0]), desirable).item() == 4


@pytest.mark.parametrize("micro", [0, 1, 3])
def test_is_the_mean_over_tokens_of_desirable_rows_however_the_batch_is_cut(micro: int) -> None:
    policy, other = Policy(gpt2()), Policy(gpt2())
    batch = labels(7)
    logps = other(batch.sequences).logps
    chosen = [
        logps[b, t]
        for b, row in enumerate(batch.sequences.completion)
        for t in row.nonzero()[:, 0]
        if batch.desirable[b]
    ]
    expected = -sum(chosen) / len(chosen)
    expected.backward()
    log = fit(module(policy, micro=micro), [batch])[0]
    assert log["train/loss"] == pytest.approx(expected.item(), abs=1e-12)
    means = logps.detach().sum(-1) / batch.sequences.lengths
    gap = means[batch.desirable].mean() - means[~batch.desirable].mean()
    assert log["train/margin"] == pytest.approx(gap.item(), abs=1e-12)
    wanted = gradients(other)
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=0, atol=1e-12, msg=name)


def test_undesirable_rows_teach_nothing() -> None:
    with_them, without = Policy(gpt2()), Policy(gpt2())
    batch = labels(7)
    fit(module(with_them), [batch])
    fit(module(without), [batch.select(batch.desirable.nonzero()[:, 0])])
    wanted = weights(without)
    for name, value in weights(with_them).items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=1e-9, msg=name)


def test_a_batch_without_desirable_rows_has_loss_and_gradient_zero() -> None:
    policy = Policy(gpt2())
    before = weights(policy)
    log = fit(module(policy), [labels(5, desirable=torch.zeros(5, dtype=torch.bool))])[0]
    assert log["train/loss"] == log["train/grad_norm"] == 0
    assert all(torch.equal(value, before[name]) for name, value in weights(policy).items())
    assert "train/margin" not in log
