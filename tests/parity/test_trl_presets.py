"""Presets named after TRL are what its trainers do when nothing is set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trl_side import arguments, trl

from alignlab.compose import composed
from alignlab.config import typed

cpo = pytest.importorskip("trl.experimental.cpo", reason="this release of TRL has no such trainer any more")
orpo = pytest.importorskip("trl.experimental.orpo", reason="this release of TRL has no such trainer any more")
OPTIMISER = dict(
    lr="learning_rate",
    warmup="warmup_steps",
    schedule="lr_scheduler_type",
    weight_decay="weight_decay",
    max_grad_norm="max_grad_norm",
)
OFFLINE = dict(epochs="num_train_epochs", batch_size="per_device_train_batch_size")
GROUPS = dict(group_size="num_generations", rollout_epochs="num_iterations", minibatches="steps_per_generation")
PRESETS = {
    "dpo_trl": (trl.DPOConfig, OFFLINE | dict(beta="beta")),
    "ipo_trl": (trl.DPOConfig, OFFLINE | dict(beta="beta")),
    "simpo_trl": (cpo.CPOConfig, dict(beta="beta", target_margin="simpo_gamma", sft_weight="cpo_alpha")),
    "orpo_trl": (orpo.ORPOConfig, dict(epochs="num_train_epochs", odds_weight="beta")),
    "grpo_trl": (trl.GRPOConfig, GROUPS | dict(clip_low="epsilon", clip_high="epsilon", advantage_std="scale_rewards")),
    "rloo_trl": (trl.RLOOConfig, GROUPS | dict(clip="epsilon", beta="beta")),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_same_values(preset: str, tmp_path: Path) -> None:
    kind, names = PRESETS[preset]
    theirs, ours = arguments(kind, tmp_path), typed(composed([f"algo={preset}"])).algo

    def plain(value: Any) -> Any:
        return getattr(value, "value", value)

    names = OPTIMISER | names
    assert {name: getattr(ours, name) for name in names} == {
        name: plain(getattr(theirs, other)) for name, other in names.items()
    }


def test_grpo_has_no_price_of_kl_and_means_over_tokens(tmp_path: Path) -> None:
    theirs, ours = arguments(trl.GRPOConfig, tmp_path), typed(composed(["algo=grpo_trl"])).algo
    assert (theirs.beta, ours.kl_place) == (0.0, "none")
    assert (theirs.loss_type, ours.aggregate) == ("dapo", "token")
    assert (theirs.epsilon_high, theirs.delta, theirs.importance_sampling_level) == (None, None, "token")
