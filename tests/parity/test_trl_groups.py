"""TRL's GRPOTrainer and RLOOTrainer and ours agree: advantages of their own rollouts, then losses at moved ratios."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from alignlab.plugins.grpo.config import GRPOConfig
from alignlab.plugins.grpo.loss import overlong, token_advantages
from alignlab.plugins.grpo.module import GRPOModule
from alignlab.plugins.rloo.config import RLOOConfig
from alignlab.plugins.rloo.loss import advantages
from alignlab.plugins.rloo.module import RLOOModule
from small import llama, parts
from torch import Tensor
from trl_groups import LIMIT, Rollout, group_trainer, rolled_out
from trl_side import F32, assert_same

from alignlab.models.policy import Policy
from alignlab.modules.experience import Chunk

GRPO = {
    "grpo": (dict(loss_type="grpo"), dict(aggregate="sequence")),
    "grpo, KL": (
        dict(loss_type="grpo", beta=0.3, use_bias_correction_kl=False),
        dict(aggregate="sequence", kl_place="loss", beta=0.3),
    ),
    # TRL weighs the KL by the ratio unless told otherwise; the paper, and our default, do not.
    "grpo, KL by default": (
        dict(loss_type="grpo", beta=0.3),
        dict(aggregate="sequence", kl_place="loss", beta=0.3, kl_weight="ratio"),
    ),
    "dapo": (dict(loss_type="dapo", epsilon_high=0.28), dict(aggregate="token", clip_high=0.28)),
    "bnpo": (dict(loss_type="bnpo"), dict(aggregate="token")),
    "dr_grpo": (dict(loss_type="dr_grpo"), dict(aggregate="constant", length_limit=LIMIT)),
    "GSPO": (
        dict(loss_type="grpo", importance_sampling_level="sequence", epsilon=0.03, epsilon_high=0.04),
        dict(aggregate="sequence", ratio="sequence", clip_low=0.03, clip_high=0.04),
    ),
    "two-sided clip": (dict(loss_type="dapo", delta=1.5), dict(aggregate="token", dual_clip=1.5)),
    "cispo": (
        dict(loss_type="cispo", epsilon_high=1.3),
        dict(aggregate="token", surrogate="cispo", clip_low=1.0, clip_high=0.3),
    ),
}


def our_loss(kind: Any, config: Any, rollout: Rollout) -> Tensor:
    """The loss of a whole rollout as one minibatch."""
    mask = rollout.rows.completion
    columns = dict(logps=rollout.old, advantages=rollout.advantages[:, None] * mask)
    if getattr(config, "kl_place", "") == "loss":
        columns["reference"] = rollout.reference
    counts = mask.sum(), torch.tensor(len(mask))
    module = kind(config, parts(Policy(rollout.policy)))
    return module._loss(Chunk(rollout.rows, columns, *counts, False, torch.arange(len(mask))))[0]


@pytest.mark.parametrize("case", GRPO)
def test_same_grpo_loss(case: str, tmp_path: Path) -> None:
    theirs, ours = GRPO[case]
    rollout = Rollout()
    config = GRPOConfig(**(dict(kl_place="none", group_size=rollout.size, batch_size=8) | ours))
    loss = rollout.loss(group_trainer("GRPO", tmp_path, **(dict(epsilon=0.2, beta=0.0) | theirs)))
    assert_same(loss, our_loss(GRPOModule, config, rollout), rollout.policy)


def test_same_rloo_loss(tmp_path: Path) -> None:
    rollout = Rollout()
    config = RLOOConfig(surrogate="sequence_clip", clip=0.2, group_size=rollout.size, batch_size=8)
    loss = rollout.loss(group_trainer("RLOO", tmp_path, epsilon=0.2))
    assert_same(loss, our_loss(RLOOModule, config, rollout), rollout.policy)


class Remembered:
    """A reward that keeps what it gave: of the first prompt's completions the sum of ids, of the second's 1."""

    __name__ = "remembered"

    def __call__(self, completion_ids: list[list[int]], **_: Any) -> list[float]:
        half = len(completion_ids) // 2
        self.given = [sum(ids) / 7 if row < half else 1.0 for row, ids in enumerate(completion_ids)]
        return self.given


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_same_group_advantages_of_a_rollout(scale: str, tmp_path: Path) -> None:
    """Sample deviations, 1e-4 added; a group that does not vary has advantage 0. Theirs is float32."""
    reward = Remembered()
    made, rows = rolled_out(group_trainer("GRPO", tmp_path, reward, scale_rewards=scale))
    ours = token_advantages(
        torch.tensor(reward.given, dtype=torch.float64),
        torch.zeros_like(rows.ids),
        rows.completion,
        group_size=4,
        beta=0.0,
        kl_place="none",
        baseline="mean",
        advantage_std=scale,
        std_eps=1e-4,
    )
    last = rows.completion.int().argmax(-1)
    assert made["advantages"].abs().max() > 0.1
    assert_same(made["advantages"], ours[torch.arange(len(ours)), last], rtol=1e-5, atol=1e-6)


def test_same_log_probabilities_of_a_rollout_in_float32(tmp_path: Path) -> None:
    made, rows = rolled_out(group_trainer("GRPO", tmp_path, num_iterations=2, beta=0.1))
    for name, seed in (("old_per_token_logps", 0), ("ref_per_token_logps", 1)):
        with torch.no_grad():
            ours = Policy(llama(seed, F32))(rows).logps[rows.completion]
        assert_same(made[name][made["completion_mask"].bool()], ours, rtol=1e-5, atol=1e-5)


def test_same_rloo_advantages_of_a_rollout(tmp_path: Path) -> None:
    """The price of KL, log pi/ref of the whole completion under the old policy, is taken before the comparison."""
    reward = Remembered()
    made, rows = rolled_out(group_trainer("RLOO", tmp_path, reward, beta=0.3))
    with torch.no_grad():
        policy, reference = (Policy(llama(seed, F32))(rows).logps for seed in (0, 1))
    given = torch.tensor(reward.given)
    ours = advantages(given, policy - reference, rows.completion, group_size=4, beta=0.3, kl_place="reward")
    assert_same(made["old_logps"], policy.sum(-1), rtol=1e-5, atol=1e-5)
    last = rows.completion.int().argmax(-1)
    assert_same(made["advantages"], ours[torch.arange(len(ours)), last], rtol=1e-4, atol=1e-4)


def test_same_overlong_punishment() -> None:
    from trl.rewards import get_soft_overlong_punishment

    punish = get_soft_overlong_punishment(max_completion_len=100, soft_punish_cache=20)
    lengths = [1, 79, 80, 81, 90, 99, 100]
    theirs = torch.tensor(punish(completion_ids=[[0] * length for length in lengths]))
    ours = overlong(torch.tensor(lengths, dtype=torch.float64), limit=100, buffer=0.2)
    assert_same(-theirs, ours, rtol=1e-6)
