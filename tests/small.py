"""Tiny real models, random batches, and a Trainer that only trains: shared by tests of models, modules, methods."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedModel,
)

from alignlab import registry
from alignlab.data.batch import DemonstrationBatch, PairBatch, Sequences, pad
from alignlab.models.frozen import Frozen
from alignlab.models.parts import Parts
from alignlab.models.policy import Policy
from alignlab.models.scorer import Scorer
from alignlab.modules.objective import PairObjective
from alignlab.modules.pairs import PairModule
from alignlab.seeding import Seeds

VOCAB = 13
F64 = torch.float64
NO_SPECIAL = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None)
SHAPE = dict(
    vocab_size=VOCAB,
    hidden_size=16,
    intermediate_size=20,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    initializer_range=0.4,
    **NO_SPECIAL,
)


def llama(seed: int = 0, dtype: torch.dtype = F64, **changes: Any) -> PreTrainedModel:
    """A random Llama whose distributions are far from uniform."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**(SHAPE | changes))).to(dtype).eval()


def gpt2(seed: int = 0, dtype: torch.dtype = F64, **changes: Any) -> PreTrainedModel:
    """A random GPT-2: learned absolute positions, so that a position off by one shows."""
    torch.manual_seed(seed)
    shape = dict(vocab_size=VOCAB, n_embd=16, n_layer=1, n_head=2, n_positions=32, initializer_range=0.4)
    return GPT2LMHeadModel(GPT2Config(**(shape | NO_SPECIAL | changes))).to(dtype).eval()


def gemma2(seed: int = 0, dtype: torch.dtype = F64, **changes: Any) -> PreTrainedModel:
    """A random Gemma 2, whose logits are capped after the head."""
    torch.manual_seed(seed)
    config = Gemma2Config(**(SHAPE | dict(head_dim=8, attn_implementation="eager", pad_token_id=0) | changes))
    return Gemma2ForCausalLM(config).to(dtype).eval()


def cohere(seed: int = 0, dtype: torch.dtype = F64, **changes: Any) -> PreTrainedModel:
    """A random Cohere, whose logits are scaled after the head."""
    torch.manual_seed(seed)
    return CohereForCausalLM(CohereConfig(**(SHAPE | dict(pad_token_id=0) | changes))).to(dtype).eval()


def scorer(seed: int = 0, dtype: torch.dtype = F64) -> Scorer:
    """A random Llama with a scalar head."""
    torch.manual_seed(seed)
    config = LlamaConfig(**(SHAPE | dict(num_labels=1, pad_token_id=0)))
    return Scorer(LlamaForSequenceClassification(config).to(dtype).eval())


def texts(rows: int, seed: int = 0, vocab: int = VOCAB) -> list[tuple[list[int], list[int]]]:
    """Random (prompt ids, completion ids) of different lengths."""
    draw = torch.Generator().manual_seed(seed)

    def ids(low: int, high: int) -> list[int]:
        length = int(torch.randint(low, high, (), generator=draw))
        return torch.randint(vocab, (length,), generator=draw).tolist()

    return [(ids(1, 5), ids(1, 7)) for _ in range(rows)]


def demonstrations(rows: int, seed: int = 0) -> DemonstrationBatch:
    return DemonstrationBatch(torch.arange(rows), pad(texts(rows, seed), 0))


def pairs(rows: int, seed: int = 0, reference: Policy | None = None, **columns: Tensor) -> PairBatch:
    """Pairs that share their prompt; reference log-probabilities where a reference is given."""
    chosen, others = texts(rows, seed), texts(rows, seed + 1)
    rejected = [(prompt, reply) for (prompt, _), (_, reply) in zip(chosen, others, strict=True)]
    sequences = pad([*chosen, *rejected], 0)
    logps = None if reference is None else reference(sequences).logps.detach()
    return PairBatch(torch.arange(rows), sequences, logps, **columns)


def parts(model: Any, *, micro: int = 0, total: int = 1, **more: Any) -> Parts:
    """What a module receives; `reference`, `reward`, `engine`, `value` and `objective` (name, config) where given."""
    fields: dict[str, Any] = {}
    if "objective" in more:
        name, config = more["objective"]
        fields["_objective"] = PairObjective(registry.method(name), config)
    if "auxiliary" in more:
        fields["_auxiliary"] = more["auxiliary"]
    if "reference" in more:
        fields["_reference"] = Frozen(more["reference"])
    if "reward" in more:
        fields["_scorers"] = {"reward": more["reward"]}
    if "value" in more:
        fields["_new_value"] = lambda start: more["value"]
    return Parts(
        method="test",
        model=model,
        seeds=Seeds(0),
        tokenizer=None,
        micro_batch_size=micro,
        total=total,
        _engine=more.get("engine"),
        _new_engine=more.get("new_engine"),
        **fields,
    )


def pair_module(name: str, config: Any, policy: Policy, **more: Any) -> PairModule:
    """The shared module for pairs with the objective of an installed method."""
    return PairModule(config, parts(policy, objective=(name, config), **more))


class Rows(Logger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    name = version = "rows"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append({"step": float(step or 0), **metrics})

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to keep."""


def fit(module: L.LightningModule, batches: Sequence[Any], **options: Any) -> list[dict[str, float]]:
    """Train over the batches in order and return the metrics logged."""
    log = Rows()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        trainer = L.Trainer(
            **(dict(accelerator="cpu", devices=1) | options),
            max_epochs=1,
            logger=log,
            log_every_n_steps=1,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(module, torch.utils.data.DataLoader(list(batches), batch_size=None))
    return log.rows


def gradients(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def left_padded(sequences: Sequences) -> Sequences:
    """The same rows with their padding on the left."""
    shift = (~sequences.attention).sum(-1).tolist()
    return Sequences(*(torch.stack([r.roll(n) for r, n in zip(field, shift, strict=True)]) for field in sequences))
