"""TRL's RewardTrainer and SFTTrainer and the small functions they rest on, against ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from alignlab.plugins.reward_model.loss import reward_loss
from alignlab.plugins.sft.loss import sft_loss
from small import VOCAB, gpt2
from torch import Tensor
from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedModel
from trl_side import F32, F64, Exact, arguments, assert_same, build, collated, pairs, sequences, tokenizer, trl

from alignlab.data.batch import Sequences
from alignlab.models.policy import Policy
from alignlab.models.scorer import Scorer
from alignlab.numerics.advantage import sample_std
from alignlab.numerics.logps import entropy, select_logps


def classifier(dtype: torch.dtype) -> PreTrainedModel:
    torch.manual_seed(0)
    shape = dict(vocab_size=VOCAB, n_embd=16, n_layer=1, n_head=2, n_positions=32, initializer_range=0.4)
    nothing = dict(bos_token_id=None, eos_token_id=None, pad_token_id=0, num_labels=1)
    return GPT2ForSequenceClassification(GPT2Config(**shape, **nothing)).to(dtype).eval()


def scored(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> tuple[Tensor, Tensor, PreTrainedModel, Any]:
    """RewardTrainer's loss, our scores of chosen and rejected (2, B), the model of both, and the batch."""
    words = settings.pop("processing_class", None) or tokenizer()
    args = arguments(trl.RewardConfig, folder, **settings)
    trainer = build(trl.RewardTrainer, args, rows, classifier(F32), processing_class=words)
    batch, model = collated(trainer), classifier(F64)
    model.config.pad_token_id = trainer.model.config.pad_token_id
    real = batch["attention_mask"].bool()
    ours = Scorer(model)(Sequences(batch["input_ids"], real, real)).view(2, -1)
    return trainer.compute_loss(model, dict(batch)), ours, model, batch


@pytest.mark.parametrize("centring", [0.0, 0.1])
def test_same_reward_model(centring: float, tmp_path: Path) -> None:
    rows = [dict(pair, margin=0.25 * row) for row, pair in enumerate(pairs(6))]
    theirs, ours, model, batch = scored(tmp_path, rows, center_rewards_coefficient=centring or None)
    loss = reward_loss(*ours, margin=batch["margin"].double(), centring=centring).mean()
    assert_same(theirs, loss, model)


def test_padding_by_the_end_token_hides_the_end_from_the_score(tmp_path: Path) -> None:
    """Without a padding token TRL pads with the end token, and transformers finds the last token by what is no padding.

    The score is then that of the token before the end. Ours comes from lengths, and is that of the end.
    """
    theirs, ours, model, batch = scored(tmp_path, pairs(6), processing_class=tokenizer(pad_token=None))
    real = batch["attention_mask"].bool()
    short = real & real.roll(-1, -1)
    short[:, -1] = False
    early = Scorer(model)(Sequences(batch["input_ids"], short, short)).view(2, -1)
    assert (early - ours).abs().min() > 1e-3
    assert_same(theirs, reward_loss(*early).mean(), model)


def test_same_likelihood(tmp_path: Path) -> None:
    """A mean over the completion tokens of the batch, or a share of it where a batch is cut."""
    rows = [dict(prompt=row["prompt"], completion=row["chosen"]) for row in pairs(6)]
    trainer = build(trl.SFTTrainer, arguments(trl.SFTConfig, tmp_path), rows)
    batch, policy = collated(trainer), gpt2(0)
    mask = batch["labels"] >= 0
    given = sequences(dict(batch, completion_mask=mask))
    losses = sft_loss(Policy(policy)(given).logps) * mask
    assert_same(trainer.compute_loss(Exact(policy), dict(batch)), losses.sum() / mask.sum(), policy)
    part = trainer.compute_loss(Exact(policy), dict(batch), num_items_in_batch=100)
    assert_same(part, losses.sum() / 100, policy)


def test_same_small_functions() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, ids = torch.randn(3, 5, 7, generator=draw, dtype=F64) * 5, torch.randint(7, (3, 5), generator=draw)
    assert_same(trl.trainer.utils.selective_log_softmax(logits, ids), select_logps(logits, ids))
    assert_same(trl.trainer.utils.entropy_from_logits(logits), entropy(logits))
    # Its n / (n - 1) is float32.
    assert_same(trl.trainer.utils.nanstd(logits[0], dim=1, keepdim=True), sample_std(logits[0]), rtol=1e-6)
