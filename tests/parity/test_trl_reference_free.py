"""TRL's experimental CPOTrainer, which is also its SimPO and AlphaPO, and ORPOTrainer against our pair objectives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small import gpt2
from torch import Tensor
from transformers import PreTrainedModel
from trl_side import F32, arguments, assert_same, build, collated, pair_losses, pairs

from alignlab.data.batch import Sequences
from alignlab.models.policy import Policy

REASON = "this release of TRL has no such trainer any more"
cpo = pytest.importorskip("trl.experimental.cpo", reason=REASON)
orpo = pytest.importorskip("trl.experimental.orpo", reason=REASON)


def losses(
    folder: Path, kind: str, theirs: dict[str, Any], name: str, ours: dict[str, Any], probability: float | None = None
) -> tuple[Tensor, Tensor, PreTrainedModel, Sequences]:
    """Their loss, ours of each pair, the policy in which both have a gradient, and the rows."""
    module = {"CPO": cpo, "ORPO": orpo}[kind]
    args = arguments(getattr(module, f"{kind}Config"), folder, max_length=32, **theirs)
    trainer = build(getattr(module, f"{kind}Trainer"), args, pairs(8), gpt2(0, F32))
    batch, policy = collated(trainer), gpt2(0)
    both = trainer.concatenated_inputs(batch)
    rows = Sequences(
        both["concatenated_input_ids"], both["concatenated_attention_mask"].bool(), both["concatenated_labels"] >= 0
    )
    labels = None if probability is None else torch.full((8,), probability, dtype=torch.float64)
    own = pair_losses(name, ours, policy, policy, rows, labels)
    return trainer.compute_loss(policy, batch), own, policy, rows


SAME = {
    "CPO": (dict(loss_type="sigmoid", beta=0.3), "cpo", dict(beta=0.3)),
    "SimPO": (
        dict(loss_type="simpo", beta=2.5, simpo_gamma=1.375),
        "simpo",
        dict(beta=2.5, target_margin=1.375),
    ),
    "AlphaPO": (
        dict(loss_type="simpo", beta=2.5, simpo_gamma=0.5, alpha=0.25),
        "alphapo",
        dict(beta=2.5, target_margin=0.5, alpha=0.25),
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_same_without_the_likelihood_term(case: str, tmp_path: Path) -> None:
    theirs, name, ours = SAME[case]
    loss, own, policy, _ = losses(tmp_path, "CPO", dict(cpo_alpha=0.0) | theirs, name, ours)
    assert_same(loss, own.mean(), policy)


def test_same_label_smoothing_of_cpo_as_a_soft_label(tmp_path: Path) -> None:
    theirs = dict(loss_type="sigmoid", beta=0.3, cpo_alpha=0.0, label_smoothing=0.2)
    loss, own, policy, _ = losses(tmp_path, "CPO", theirs, "cpo", dict(beta=0.3), 0.8)
    assert_same(loss, own.mean(), policy)


def likelihoods(policy: PreTrainedModel, rows: Sequences) -> tuple[Tensor, Tensor]:
    """Mean negative log-likelihood of chosen over all selected tokens, and over pairs of the mean over theirs."""
    chosen = rows.select(slice(rows.rows // 2))
    tokens = -Policy(policy)(chosen).logps
    return tokens.sum() / chosen.completion.sum(), (tokens.sum(-1) / chosen.lengths).mean()


@pytest.mark.parametrize("case", SAME)
def test_likelihood_is_on_by_default_and_a_mean_over_the_tokens_of_the_batch(case: str, tmp_path: Path) -> None:
    """cpo_alpha is 1 unless told otherwise, for SimPO and AlphaPO too, whose papers have no such term.

    Theirs weighs long completions more, ours, as sft_weight, weighs pairs equally.
    """
    theirs, name, ours = SAME[case]
    loss, own, policy, rows = losses(tmp_path, "CPO", theirs, name, dict(ours, sft_weight=1.0))
    flat, paired = likelihoods(policy, rows)
    assert (flat - paired).abs() > 0.01
    assert_same(loss, own.mean() + flat - paired, policy)


def test_smoothed_simpo_keeps_its_margin_on_the_flipped_label(tmp_path: Path) -> None:
    """A soft label of ours asks of a flipped pair the margin it asks of any: sigmoid(-d - gamma), not (-d + gamma)."""
    eps, gamma = 0.2, 1.375
    theirs = dict(SAME["SimPO"][0], cpo_alpha=0.0, label_smoothing=eps)
    _, name, ours = SAME["SimPO"]
    loss, own, _, _ = losses(tmp_path, "CPO", theirs, name, ours, 1 - eps)
    _, plain, _, _ = losses(tmp_path, "CPO", theirs, name, ours)
    d = gamma - (plain.exp() - 1).log()
    differ = eps * (torch.nn.functional.softplus(d + gamma) - torch.nn.functional.softplus(d - gamma))
    assert_same(loss, (own - differ).mean(), rtol=1e-8)


def test_orpo_likelihood_also_covers_the_prompt(tmp_path: Path) -> None:
    """TRL follows the default of the authors' code; ours is the paper's, over the completion. Its odds are float32."""
    theirs, ours = dict(beta=0.25), dict(odds_weight=0.25)
    loss, own, policy, rows = losses(tmp_path, "ORPO", theirs, "orpo", ours)
    text = rows.attention.clone()
    text[:, 0] = False  # nothing predicts the first token
    flat, _ = likelihoods(policy, rows._replace(completion=text))
    assert_same(loss, own.mean() + flat, policy, rtol=1e-5, atol=1e-6)
