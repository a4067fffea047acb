"""TRL's KTOTrainer and our KTO agree, in the loss and in its gradient, reference point included."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from alignlab.plugins.kto.config import KTOConfig
from alignlab.plugins.kto.module import KTOModule
from small import gpt2, parts
from torch import Tensor
from trl_side import BETA, Exact, arguments, assert_same, build, collated, pair_losses, pairs, sequences, trl

from alignlab.data.batch import LabelBatch, Sequences
from alignlab.data.module import mismatch
from alignlab.models.policy import Policy
from alignlab.modules.labels import summed


def kto_trainer(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> Any:
    """KTOTrainer with its whole data set in one batch, which is also what its mismatched completions come from."""
    args = arguments(trl.KTOConfig, folder, beta=BETA, per_device_train_batch_size=len(rows), **settings)
    trainer = build(trl.KTOTrainer, args, rows, ref_model=gpt2(1, torch.float32))
    trainer.ref_model = Exact(gpt2(1))
    return trainer


def labelled(rows: int) -> list[dict[str, Any]]:
    """Two desirable completions for each undesirable one."""
    return [
        dict(prompt=pair["prompt"], completion=pair["chosen"], label=row % 3 < 2)
        for row, pair in enumerate(pairs(rows))
    ]


@pytest.mark.parametrize("drift", [0.5, 2.0])
def test_same(drift: float, tmp_path: Path) -> None:
    """z0 is above 0 where the policy is likelier than the reference to write what does not belong, else 0."""
    weights = dict(desirable_weight=1.3, undesirable_weight=0.8)
    trainer = kto_trainer(tmp_path, labelled(9), **weights)
    policy, reference = gpt2(1), Policy(gpt2(1))
    with torch.no_grad():
        policy.get_output_embeddings().weight.mul_(drift)
    batch = collated(trainer)
    mismatched = Sequences(batch["KL_input_ids"], batch["KL_attention_mask"].bool(), batch["KL_completion_mask"].bool())
    rows = sequences(batch)
    fixed = [reference(each).logps.detach() for each in (rows, mismatched)]
    given = LabelBatch(torch.arange(9), rows, torch.as_tensor(batch["label"]).bool(), fixed[0], mismatched, fixed[1])
    config = KTOConfig(beta=BETA, lambda_desirable=1.3, lambda_undesirable=0.8)
    module = KTOModule(config, parts(Policy(policy)))
    with torch.no_grad():
        context = module.context(given)
    assert (context["reference_point"] > 0) == (drift < 1)
    logps = summed(Policy(policy)(rows).logps, rows.completion)
    ours = module.objective(logps, summed(fixed[0], rows.completion), given, context).loss.mean()
    assert_same(trainer.compute_loss(Exact(policy), batch), ours, policy)


def test_neighbours_of_one_prompt_are_mismatched_with_each_other_only_by_trl(tmp_path: Path) -> None:
    """TRL turns the completions of a batch by one place, whoever their prompts are; ours takes another prompt's.

    Data made from pairs have both completions of a prompt side by side, and then its z0 is no estimate of KL.
    """
    rows = [
        dict(prompt=pair["prompt"], completion=pair[side], label=side == "chosen")
        for pair in pairs(3)
        for side in ("chosen", "rejected")
    ]
    columns = kto_trainer(tmp_path, rows).train_dataset
    tokens = [SimpleNamespace(**{k: np.array(row[f"{k}_ids"]) for k in ("prompt", "completion")}) for row in columns]
    ours = mismatch(tokens, longest=32)
    for row in (1, 3, 5):
        assert columns[row]["prompt_ids"] == columns[row - 1]["prompt_ids"]
        assert columns[row]["KL_completion_ids"] == columns[row - 1]["completion_ids"]
        following = columns[(row + 1) % 6]
        assert following["prompt_ids"] != columns[row]["prompt_ids"]
        assert ours[row][1].tolist() == following["completion_ids"]


def test_unpaired_apo_zero_is_half_of_apo_zero_over_as_many_completions_of_either_kind(tmp_path: Path) -> None:
    """TRL's apo_zero_unpaired is a mean over completions, ours one over pairs."""
    rows = pairs(6)
    good = [dict(prompt=row["prompt"], completion=row["chosen"], label=True) for row in rows]
    bad = [dict(prompt=row["prompt"], completion=row["rejected"], label=False) for row in rows]
    trainer = kto_trainer(tmp_path, [*good, *bad], loss_type="apo_zero_unpaired")
    policy, batch = gpt2(0), collated(trainer)
    ours: Tensor = pair_losses("apo_zero", dict(beta=BETA), policy, gpt2(1), sequences(batch))
    assert_same(2 * trainer.compute_loss(Exact(policy), batch), ours.mean(), policy)
