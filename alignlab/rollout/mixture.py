"""Sampling from the product of several models' powers, token by token: softmax(sum_i w_i log p_i).

Weights (1 - c, c) give the geometric mixture of Nash-MD (arXiv 2312.00886), (1 - l, l) with l outside [0, 1] the
extrapolation of DeRa (arXiv 2402.02992), (1, 1, -1) that of proxy tuning (arXiv 2401.08565). Every next-token
distribution is normalised by itself, so that a completion's probability is not the product of the models' powers.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from alignlab.data.batch import Sequences
from alignlab.errors import ConfigError, ModelError
from alignlab.models.modes import evaluating
from alignlab.models.policy import Policy
from alignlab.models.trunk import vocabulary_size
from alignlab.numerics.logps import upcast
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.decode import Decoder, decode
from alignlab.rollout.engine import new_decoder
from alignlab.rollout.prompts import Prompts, check_prompts, lay_out
from alignlab.rollout.sampling import Sampling


class MixtureEngine:
    """An engine over the live weights of several policies that share a vocabulary."""

    def __init__(
        self,
        policies: Sequence[Policy],
        weights: Sequence[float],
        *,
        sampling: Sampling,
        end_ids: tuple[int, ...],
        pad_id: int,
        reason: str = "mixture of policies",
    ) -> None:
        """Weights may be any real numbers, one a policy; a policy of weight 0 is never run."""
        pairs = [(policy, weight) for policy, weight in zip(policies, weights, strict=True) if weight]
        if not pairs:
            raise ConfigError("every weight of the mixture is 0", "give one policy another weight")
        self.policies, self.weights = [list(column) for column in zip(*pairs, strict=True)]
        self.sampling, self.end_ids, self.pad_id, self.reason = sampling, end_ids, pad_id, reason
        sizes = [vocabulary_size(policy.model) for policy in self.policies]
        if len(set(sizes)) > 1:
            raise ModelError(
                f"policies with {' and '.join(map(str, sizes))} token ids cannot be mixed", "use one tokenizer for all"
            )
        self.vocabulary = sizes[0]

    @torch.no_grad()
    def sample(self, prompts: Sequence[Sequence[int]], noise: Noise) -> Rollouts:
        """One completion for each prompt, drawn with the noise of its row.

        DataError for a prompt that is empty, too long or not of this vocabulary; TrainingError when the mixed
        logits are not finite.
        """
        check_prompts(
            prompts,
            max_new_tokens=self.sampling.max_new_tokens,
            max_positions=min(policy.max_positions for policy in self.policies),
            vocabulary=self.vocabulary,
        )
        device = self.policies[0].device
        laid = lay_out(prompts, self.pad_id, device)
        with ExitStack() as stack:
            stack.enter_context(torch.autocast(device.type, enabled=False))
            for policy in self.policies:
                stack.enter_context(evaluating(policy.model))
            decoders = [new_decoder(policy.model, self.sampling.max_new_tokens) for policy in self.policies]
            mixed = _MixedDecoder(decoders, self.weights)
            rollouts = decode(mixed, laid, noise, self.sampling, self.end_ids, self.pad_id)
        return rollouts.counted(*(policy.model for policy in self.policies))

    @torch.no_grad()
    def completion_logits(self, sequences: Sequences) -> Tensor:
        """Mixed logits that predict each completion token, before temperature: N completion tokens -> (N, V)."""
        return mixed_logits([policy.completion_logits(sequences) for policy in self.policies], self.weights)


def mixed_logits(logits: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """sum_i w_i log softmax(logits_i): (..., V) each -> (..., V), up to a constant the log of the mixture."""
    parts = (weight * upcast(each).log_softmax(-1) for each, weight in zip(logits, weights, strict=True))
    return torch.stack(list(parts)).sum(0)


class _MixedDecoder:
    """A Decoder that asks several, each with a cache of its own."""

    def __init__(self, decoders: Sequence[Decoder], weights: Sequence[float]) -> None:
        self.decoders, self.weights = decoders, weights

    def start(self, prompts: Prompts) -> Tensor:
        return mixed_logits([each.start(prompts) for each in self.decoders], self.weights)

    def step(self, ids: Tensor) -> Tensor:
        return mixed_logits([each.step(ids) for each in self.decoders], self.weights)

    def keep(self, rows: Tensor) -> None:
        for each in self.decoders:
            each.keep(rows)
