"""Where TRL's GRPOTrainer and ours differ, by exactly what, and why. docs/parity.md has the table."""

from __future__ import annotations

from pathlib import Path

import torch
from small import gpt2, llama
from torch import Tensor
from trl_groups import Rollout, group_trainer
from trl_side import F32, assert_same, trl

from alignlab.models.policy import Policy
from alignlab.numerics.surrogate import Whole, cispo_surrogate, clipped_surrogate, token_mean, token_ratio

HALVES = (slice(0, 4), slice(4, 8))


def clipped(rollout: Rollout, part: slice) -> tuple[Tensor, Tensor]:
    """Our clipped loss of each token of some rows and the mask, (b, T) each."""
    mask = rollout.rows.completion
    ratio = token_ratio(Policy(rollout.policy)(rollout.rows).logps, rollout.old, mask)
    losses = clipped_surrogate(ratio, rollout.advantages[:, None], clip_low=0.2, clip_high=0.2)
    return losses[part], mask[part]


def ours(rollout: Rollout, part: slice = slice(None), of: slice = slice(None)) -> Tensor:
    """Share of some rows in the mean over the tokens of others."""
    counts = rollout.rows.completion[of]
    return token_mean(*clipped(rollout, part), Whole(counts.sum(), torch.tensor(len(counts))))


def test_bnpo_over_two_micro_batches_is_the_mean_of_their_means(tmp_path: Path) -> None:
    """Each micro-batch divides by its own tokens, so the loss depends on how a batch is cut; a token mean does not."""
    rollout = Rollout()
    trainer = group_trainer(
        "GRPO", tmp_path, loss_type="bnpo", per_device_train_batch_size=4, gradient_accumulation_steps=2
    )
    theirs = sum(rollout.loss(trainer, half) for half in HALVES)
    assert_same(theirs, sum(ours(rollout, half, half) for half in HALVES) / 2, rollout.policy)
    assert abs(theirs - ours(rollout)) > 1e-3


def test_dapo_over_two_micro_batches_is_the_mean_over_all_tokens(tmp_path: Path) -> None:
    rollout = Rollout()
    trainer = group_trainer(
        "GRPO", tmp_path, loss_type="dapo", per_device_train_batch_size=4, gradient_accumulation_steps=2
    )
    assert_same(sum(rollout.loss(trainer, half) for half in HALVES), ours(rollout), rollout.policy)


def test_dapo_over_two_updates_divides_each_by_the_mean_tokens_of_both(tmp_path: Path) -> None:
    """TRL counts tokens over the rollout and shares them out evenly; ours counts those of each update."""
    rollout = Rollout()
    trainer = group_trainer("GRPO", tmp_path, loss_type="dapo", per_device_train_batch_size=4, steps_per_generation=2)
    tokens = rollout.rows.completion.sum().double()
    for half in HALVES:
        own = rollout.rows.completion[half].sum()
        assert own != tokens / 2
        assert_same(rollout.loss(trainer, half), own / (tokens / 2) * ours(rollout, half, half), rollout.policy)


def test_cispo_bounds_the_ratio_by_epsilon_high_itself(tmp_path: Path) -> None:
    """With the default of 0.2, meant for 1 + 0.2, nearly every ratio is held at 0.2, and the loss a fifth of ours.

    The paper bounds it by 1 + epsilon_high, as we do; TRL's documentation asks for 5, the whole bound of another paper.
    """
    rollout = Rollout()
    mask, logps = rollout.rows.completion, Policy(rollout.policy)(rollout.rows).logps
    ratio = token_ratio(logps, rollout.old, mask)
    assert ratio.min() > 0.2
    whole = Whole(mask.sum(), torch.tensor(len(mask)))
    plain = cispo_surrogate(torch.ones_like(ratio), logps, rollout.advantages[:, None], clip_low=1.0, clip_high=0.2)
    theirs = rollout.loss(group_trainer("GRPO", tmp_path, loss_type="cispo"))
    assert_same(theirs, 0.2 * token_mean(plain, mask, whole), rollout.policy)


def test_padding_on_the_left_moves_learned_positions(tmp_path: Path) -> None:
    """TRL's forward pass gives no positions, so that a model with absolute ones counts the padding of a prompt.

    With rotary positions, as in Llama, nothing moves. Ours pads on the right and gives positions.
    """
    trainer, rollout = group_trainer("GRPO", tmp_path), Rollout()
    made = rollout.select(slice(None))
    ids, real = (torch.cat([made[f"prompt_{x}"], made[f"completion_{x}"]], -1) for x in ("ids", "mask"))
    padded, mask = made["prompt_mask"].eq(0).any(-1), made["completion_mask"].bool()
    assert padded.any()
    for model, moved in ((gpt2, True), (llama, False)):
        theirs, alone = model(0, F32), model(0, F32)
        trl.trainer.utils.add_fused_lm_head(theirs)
        with torch.no_grad():
            found = trainer._get_per_token_logps_and_entropies(theirs, ids, real, mask.shape[1])[0]
            known = torch.zeros_like(found).masked_scatter(
                mask, Policy(alone)(rollout.rows).logps[rollout.rows.completion]
            )
        gap = ((found - known) * mask).abs().amax(-1)
        assert gap[~padded].max() < 1e-5
        assert (gap[padded].min() > 0.1) if moved else (gap.max() < 1e-5)
