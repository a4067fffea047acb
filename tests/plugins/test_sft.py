"""SFT against its closed form."""

from __future__ import annotations

import re

import pytest
import torch
from alignlab.plugins.sft.config import SFTConfig
from alignlab.plugins.sft.loss import sft_loss
from alignlab.plugins.sft.module import SFTModule
from small import demonstrations, fit, gpt2, gradients, parts

from alignlab.errors import ConfigError
from alignlab.models.policy import Policy

F64 = torch.float64


def test_loss_is_the_negative_log_likelihood_of_each_token() -> None:
    logps = torch.tensor([[-1.5, 0.0], [-2e4, -0.25]], dtype=F64, requires_grad=True)
    loss = sft_loss(logps)
    loss.sum().backward()
    assert loss.tolist() == [[1.5, 0.0], [2e4, 0.25]]
    assert torch.equal(logps.grad, torch.full((2, 2), -1.0, dtype=F64))


def test_batch_loss_is_the_mean_over_completion_tokens_of_all_rows() -> None:
    policy, batch = Policy(gpt2()), demonstrations(5)
    total, tokens = 0.0, 0
    for prompt, reply in batch.sequences.split():
        logps = policy.model(input_ids=torch.tensor([prompt + reply])).logits[0].log_softmax(-1)
        total -= sum(logps[len(prompt) + t - 1, token].item() for t, token in enumerate(reply))
        tokens += len(reply)
    log = fit(SFTModule(SFTConfig(batch_size=5), parts(policy)), [batch])
    assert log[0]["train/loss"] == pytest.approx(total / tokens, abs=1e-12)
    assert log[0]["samples"] == 5


def test_gradient_is_that_of_the_cross_entropy_of_transformers() -> None:
    """Labels of -100 everywhere but on the completion: the boundary at which the two conventions meet.

    transformers computes its loss in float32.
    """
    ours, theirs, batch = Policy(gpt2()), gpt2(), demonstrations(5)
    fit(SFTModule(SFTConfig(max_grad_norm=0.0), parts(ours)), [batch])
    sequences = batch.sequences
    labels = sequences.ids.where(sequences.completion, -100)
    theirs(input_ids=sequences.ids, attention_mask=sequences.attention.long(), labels=labels).loss.backward()
    expected = gradients(theirs)
    for name, gradient in gradients(ours.model).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-6, msg=name)


def test_entropy_is_the_mean_over_completion_tokens() -> None:
    policy, batch = Policy(gpt2()), demonstrations(5)
    distribution = policy.completion_logits(batch.sequences).softmax(-1)
    expected = -(distribution * distribution.log()).sum(-1).mean().item()
    log = fit(SFTModule(SFTConfig(), parts(policy, micro=2)), [batch])
    assert log[0]["train/entropy"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("setting", "interval"),
    [
        (dict(lr=0.0), "algo.lr must lie in (0, inf), got 0.0"),
        (dict(batch_size=0), "algo.batch_size must lie in [1, inf), got 0"),
        (dict(warmup=1.5), "algo.warmup must lie in [0, 1], got 1.5"),
        (dict(weight_decay=-0.1), "algo.weight_decay must lie in [0, inf), got -0.1"),
        (dict(max_grad_norm=-1.0), "algo.max_grad_norm must lie in [0, inf), got -1.0"),
        (dict(epochs=0), "algo.epochs must lie in [1, inf), got 0"),
        (dict(lr=float("nan")), "algo.lr must lie in (0, inf), got nan"),
        (dict(schedule="step"), "algo.schedule must be constant, linear or cosine, got 'step'\n  remedy: pass algo."),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], interval: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(interval)):
        SFTConfig(**setting)
