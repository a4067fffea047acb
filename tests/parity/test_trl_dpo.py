"""TRL's DPOTrainer and our pair objectives agree, in the loss and in its gradient: one setting of theirs a row."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small import llama
from trl_side import BETA, F32, assert_same, collated, dpo_losses, dpo_trainer, pair_losses, sequences, trl

from alignlab.models.frozen import Moving
from alignlab.models.policy import Policy

SAME = {
    "sigmoid": ({}, "dpo", {}),
    "sigmoid, LD-DPO": (dict(ld_alpha=0.4), "dpo", dict(tail_weight=0.4)),
    "sigmoid, forward KL": (dict(f_divergence_type="forward_kl"), "f_dpo", dict(divergence="forward_kl")),
    "sigmoid, JS": (dict(f_divergence_type="js_divergence"), "f_dpo", dict(divergence="jensen_shannon")),
    "sigmoid, reverse KL": (dict(f_divergence_type="reverse_kl"), "f_dpo", dict(divergence="reverse_kl")),
    "sigmoid_norm": ({}, "dpo", dict(length_normalised=True)),
    "hinge": ({}, "hinge", {}),
    "ipo": ({}, "ipo", dict(length_normalised=True)),
    "robust": (dict(label_smoothing=0.2), "robust_dpo", dict(flip_rate=0.2)),
    "nca_pair": ({}, "nca", {}),
    "bco_pair": ({}, "mpo", dict(preference_weight=0.0, quality_weight=1.0, sft_weight=0.0)),
    "sppo_hard": ({}, "sppo", {}),
    "aot": ({}, "aot", {}),
    "aot_unpaired": ({}, "aot_unpaired", {}),
    "apo_zero": ({}, "apo_zero", {}),
    "apo_down": ({}, "apo_down", {}),
    "discopop": (dict(discopop_tau=0.4), "discopop", dict(temperature=0.4)),
}


@pytest.mark.parametrize("case", SAME)
def test_same(case: str, tmp_path: Path) -> None:
    theirs, name, ours = SAME[case]
    loss, losses, policy = dpo_losses(tmp_path, dict(loss_type=[case.split(",")[0]]) | theirs, name, ours)
    assert_same(loss, losses.mean(), policy)


def test_same_mixture_of_preference_and_quality(tmp_path: Path) -> None:
    """The recipe TRL gives for MPO, without its likelihood term, which is another mean: see the differences."""
    theirs = dict(loss_type=["sigmoid", "bco_pair"], loss_weights=[0.8, 0.2])
    loss, losses, policy = dpo_losses(tmp_path, theirs, "mpo", dict(sft_weight=0.0))
    assert_same(loss, losses.mean(), policy)


def test_same_exo_to_six_digits(tmp_path: Path) -> None:
    """TRL holds epsilon, and so its logarithm, in float32."""
    theirs = dict(loss_type=["exo_pair"], label_smoothing=1e-3)
    loss, losses, policy = dpo_losses(tmp_path, theirs, "exo", dict(label_smoothing=1e-3))
    assert_same(loss, losses.mean(), policy, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("order", [0.25, 0.5])
def test_same_alpha_divergence_in_float32(order: float, tmp_path: Path) -> None:
    """TRL's coefficient is 1 less our alpha; its branch knows no float64."""
    theirs = dict(f_divergence_type="alpha_divergence", f_alpha_divergence_coef=1 - order)
    ours = dict(divergence="alpha", alpha=order)
    loss, losses, policy = dpo_losses(tmp_path, theirs, "f_dpo", ours, dtype=F32)
    assert_same(loss, losses.mean(), policy, rtol=1e-4, atol=1e-5)


def test_same_with_the_head_of_trl_in_float32(tmp_path: Path) -> None:
    """Everything theirs: token log-probabilities, loss and gradient of a trainer as it is built."""
    trainer = dpo_trainer(tmp_path)
    batch = collated(trainer)
    rows = sequences(batch)
    labels = batch["input_ids"].masked_fill(~rows.completion, torch.nn.CrossEntropyLoss().ignore_index)
    tokens = trainer.model(input_ids=batch["input_ids"], labels=labels, fused_lm_head=True).log_probs
    policy, reference = llama(0, F32), llama(1, F32)
    torch.testing.assert_close(tokens, Policy(policy)(rows).logps[:, 1:], rtol=1e-5, atol=1e-6)
    ours = pair_losses("dpo", dict(beta=BETA), policy, reference, rows).mean()
    ours.backward()
    theirs = trainer.compute_loss(trainer.model, batch)
    theirs.backward()
    assert_same(theirs, ours, rtol=1e-5, atol=1e-6)
    for one, other in zip(trainer.model.parameters(), policy.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mix", [0.6, 1.0])
def test_same_moving_reference(mix: float, tmp_path: Path) -> None:
    """TR-DPO: after every second update, mix policy + (1 - mix) reference."""
    trainer = dpo_trainer(tmp_path, sync_ref_model=True, ref_model_sync_steps=2, ref_model_mixup_alpha=mix)
    [sync] = (each for each in trainer.callback_handler.callbacks if isinstance(each, trl.SyncRefModelCallback))
    policy, moving = llama(0, F32), Moving(llama(1, F32))
    for step in range(1, 5):
        for model in (trainer.model, policy):
            with torch.no_grad():
                for weight in model.parameters():
                    weight.mul_(1 + 0.1 * step)
        sync.on_step_end(trainer.args, SimpleNamespace(global_step=step), None, model=trainer.model)
        if step % 2 == 0:
            moving.follow(policy, mix)
    for one, other in zip(trainer.ref_model.parameters(), moving.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
