"""Sampling with any causal language model of transformers, through its own forward and key-value cache."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from alignlab.errors import ModelError
from alignlab.models.modes import evaluating
from alignlab.models.trunk import max_positions, vocabulary_size
from alignlab.numerics.masked import position_ids
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.decode import decode
from alignlab.rollout.prompts import Prompts, check_prompts, lay_out
from alignlab.rollout.sampling import Sampling


class TransformersEngine:
    """Left-padded generation with explicit positions; finished rows leave the batch and its cache."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        sampling: Sampling,
        end_ids: tuple[int, ...],
        pad_id: int,
        reason: str = "transformers engine",
    ) -> None:
        self.model, self.sampling, self.end_ids, self.pad_id = model, sampling, end_ids, pad_id
        self.reason = reason

    @torch.no_grad()
    def sample(self, prompts: Sequence[Sequence[int]], noise: Noise) -> Rollouts:
        """One completion for each prompt, drawn with the noise of its row.

        DataError for a prompt that is empty, too long or not of this vocabulary; ModelError for a model without
        a key-value cache; TrainingError when the model's logits are not finite.
        """
        check_prompts(
            prompts,
            max_new_tokens=self.sampling.max_new_tokens,
            max_positions=max_positions(self.model),
            vocabulary=vocabulary_size(self.model),
        )
        laid = lay_out(prompts, self.pad_id, self.model.device)
        with evaluating(self.model):
            rollouts = decode(_CachedModel(self.model), laid, noise, self.sampling, self.end_ids, self.pad_id)
        return rollouts.counted(self.model)


class _CachedModel:
    """A Decoder around a model's forward."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        inner: Any = getattr(model, "get_base_model", lambda: model)()  # PEFT hides the signature
        accepted = inspect.signature(inner.forward).parameters
        self.has_positions = "position_ids" in accepted
        self.options: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        # transformers 5.24 renamed it for its own models; code that comes with a model may have the old name for long.
        self.cache_name = "cache" if "cache" in accepted else "past_key_values"
        self.attention: Tensor
        self.position: Tensor
        self.cache: Any

    def start(self, prompts: Prompts) -> Tensor:
        positions = position_ids(prompts.attention)
        self.attention, self.position = prompts.attention.long(), positions[:, -1:]
        logits = self._forward(prompts.ids, positions, None)
        if not prompts.repeated:
            return logits
        self.keep(prompts.source)
        return logits[prompts.source]

    def step(self, ids: Tensor) -> Tensor:
        self.attention = torch.cat([self.attention, torch.ones_like(self.attention[:, :1])], -1)
        self.position = self.position + 1
        return self._forward(ids.unsqueeze(-1), self.position, self.cache)

    def keep(self, rows: Tensor) -> None:
        self.attention, self.position = self.attention[rows], self.position[rows]
        self.cache.reorder_cache(rows)  # selects along the batch, repeats and omissions included

    def _forward(self, ids: Tensor, positions: Tensor, cache: Cache | None) -> Tensor:
        options = self.options | {self.cache_name: cache} | ({"position_ids": positions} if self.has_positions else {})
        output = self.model(input_ids=ids, attention_mask=self.attention, use_cache=True, **options)
        self.cache = getattr(output, self.cache_name, None)
        if not isinstance(self.cache, Cache):
            raise ModelError(
                f"{type(self.model).__name__} returns no key-value cache, so completions cannot be sampled from it",
                "use a decoder-only transformer",
            )
        logits: Tensor = output.logits[:, -1]
        return logits
