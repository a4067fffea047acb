"""TRL's side of the comparisons: its trainers on tiny models, with a tokenizer of one-letter words.

The trainers are built and asked for their loss as they are, on the CPU and without a network. One part is replaced:
their head of the language model computes in float32 whatever the model does, so `Exact` stands in for it wherever
objectives are compared in float64; test_trl_dpo.py compares the original once. Compared in float64 is a GPT-2, since
the norms of Llama are float32 inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset
from small import gpt2, llama, texts
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from alignlab import registry
from alignlab.data.batch import Sequences
from alignlab.models.policy import Policy
from alignlab.modules.objective import PairObjective
from alignlab.numerics.masked import position_ids

try:
    import trl.trainer.utils
except ImportError as error:
    pytest.skip(f"TRL cannot be imported ({error}): pip install 'alignlab[parity]'", allow_module_level=True)

LETTERS = "abcdefghijk"
F32, F64 = torch.float32, torch.float64
BETA = 0.3


def tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """One id for each letter, and two for padding and the end: as many as the tiny models know."""
    ids = {word: index for index, word in enumerate(("<pad>", "<end>", *LETTERS))}
    words = Tokenizer(models.WordLevel(ids, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, **(dict(pad_token="<pad>", eos_token="<end>") | special))


def spelled(ids: Sequence[int]) -> str:
    return " ".join(LETTERS[index] for index in ids)


def pairs(rows: int, seed: int = 0) -> list[dict[str, str]]:
    """Random pairs in words, of different lengths."""
    chosen, others = texts(rows, seed, len(LETTERS)), texts(rows, seed + 1, len(LETTERS))
    return [
        dict(prompt=spelled(prompt), chosen=" " + spelled(good), rejected=" " + spelled(bad))
        for (prompt, good), (_, bad) in zip(chosen, others, strict=True)
    ]


def arguments(kind: type, folder: Path, **settings: Any) -> Any:
    """Settings of a trainer that writes, reports and accelerates nothing."""
    return kind(output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, **settings)


def build(kind: type, args: Any, rows: list[dict[str, Any]], model: Any = None, **more: Any) -> Any:
    """A trainer of TRL's on a tiny model."""
    model = llama(0, F32) if model is None else model
    given = dict(processing_class=tokenizer()) | more
    return kind(model=model, args=args, train_dataset=Dataset.from_list(rows), **given)


def collated(trainer: Any) -> dict[str, Tensor]:
    """Its whole data set as one batch of its own making."""
    columns = trainer.train_dataset
    return trainer.data_collator([columns[row] for row in range(len(columns))])


class Exact(nn.Module):
    """What TRL's head answers, in the dtype of the model.

    Per-token values of (B, T - 1), 0 where `labels` marks a token as ignored by a number below 0. Positions count
    what `attention_mask` lets through, so that padding on the left changes nothing.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, labels: Tensor, attention_mask: Tensor | None = None, **_: Any) -> Any:
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        given = dict(input_ids=input_ids, attention_mask=real, position_ids=position_ids(real), use_cache=False)
        logits = self.model(**given).logits[:, :-1]
        counts, known = labels[:, 1:] >= 0, logits.log_softmax(-1)
        values = dict(
            log_probs=known.gather(-1, labels[:, 1:].clamp_min(0).unsqueeze(-1)).squeeze(-1),
            entropy=-(known.exp() * known).sum(-1),
            log_sum_sq_probs=(2 * known).logsumexp(-1),
            mean_logits=logits.mean(-1),
        )
        top = logits.argmax(-1) == labels[:, 1:]
        return SimpleNamespace(
            **{name: value * counts for name, value in values.items()}, is_top1=top & counts, label_mask=counts
        )


def sequences(batch: dict[str, Tensor]) -> Sequences:
    """A batch of TRL's as rows of ours."""
    return Sequences(batch["input_ids"], batch["attention_mask"].bool(), batch["completion_mask"].bool())


def pair_losses(
    name: str,
    settings: dict[str, Any],
    policy: PreTrainedModel,
    reference: PreTrainedModel,
    rows: Sequences,
    probability: Tensor | None = None,
) -> Tensor:
    """Our loss of each pair of [chosen; rejected] rows, (B,)."""
    method = registry.method(name)
    config = method.config(**settings)
    objective = PairObjective(method, config)
    outputs = Policy(policy)(rows, collision=config.on_policy_weight)
    with torch.no_grad():
        fixed = Policy(reference)(rows).logps
    context = {}
    if objective.coupled:
        context = objective.couple(objective.logps(outputs.logps.detach(), rows), objective.logps(fixed, rows))
    return objective(outputs, fixed, rows, probability, context).loss


def dpo_trainer(folder: Path, rows: list[dict[str, str]] | None = None, **settings: Any) -> Any:
    """DPOTrainer at beta 0.3 where nothing else is said."""
    args = arguments(trl.DPOConfig, folder, **(dict(beta=BETA) | settings))
    return build(trl.DPOTrainer, args, pairs(8) if rows is None else rows, ref_model=llama(1, F32))


def dpo_losses(
    folder: Path,
    theirs: dict[str, Any],
    name: str,
    ours: dict[str, Any],
    *,
    rows: list[dict[str, str]] | None = None,
    policy: PreTrainedModel | None = None,
    dtype: torch.dtype = F64,
) -> tuple[Tensor, Tensor, PreTrainedModel]:
    """DPOTrainer's loss, ours of each pair, and the policy in which both have a gradient."""
    policy, reference = gpt2(0, dtype) if policy is None else policy, gpt2(1, dtype)
    trainer = dpo_trainer(folder, rows, **theirs)
    trainer.ref_model = Exact(reference)
    batch = collated(trainer)
    losses = pair_losses(name, dict(beta=BETA) | ours, policy, reference, sequences(batch))
    return trainer.compute_loss(Exact(policy), batch), losses, policy


def gradient(loss: Tensor, model: nn.Module) -> Tensor:
    """Of all parameters, one after the other."""
    wanted = [each for each in model.parameters() if each.requires_grad]
    found = torch.autograd.grad(loss, wanted, allow_unused=True, retain_graph=True)
    return torch.cat([(torch.zeros_like(w) if f is None else f).flatten() for w, f in zip(wanted, found, strict=True)])


def assert_same(
    theirs: Tensor, ours: Tensor, model: nn.Module | None = None, *, rtol: float = 1e-10, atol: float = 1e-12
) -> None:
    """Equal in value and, where a model is given, in the gradient of its parameters."""
    torch.testing.assert_close(theirs, ours, rtol=rtol, atol=atol, check_dtype=False)
    if model is not None:
        torch.testing.assert_close(gradient(theirs, model), gradient(ours, model), rtol=rtol, atol=atol)
