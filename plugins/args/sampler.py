"""Sampling with a reward that weighs in on every token.

The paper reads the reward of each candidate from scratch, and so does this: any reward that scores token ids serves.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from alignlab.data.batch import Sequences, pad
from alignlab.data.schema import Prompt
from alignlab.models.parts import Parts
from alignlab.models.trunk import vocabulary_size
from alignlab.numerics.logps import upcast
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.decode import Decoder, decode
from alignlab.rollout.engine import new_decoder
from alignlab.rollout.prompts import Prompts, check_prompts, lay_out

from .config import ARGSConfig
from .guide import guided_logits, prefix_rewards, top_tokens


class ARGSSampler:
    """softmax[log p(v) + w r(prefix v)] over the top k of the SFT policy."""

    kl_bound: float | None = None

    def __init__(self, config: ARGSConfig, parts: Parts) -> None:
        self.config, self.parts, self.policy = config, parts, parts.policy
        self.reward = parts.scorer("reward")

    @torch.no_grad()
    def sample(self, prompts: Sequence[Prompt], ids: Sequence[Sequence[int]], noise: Noise) -> Rollouts:
        """One completion for each prompt at the evaluation's temperature."""
        parts, new_tokens = self.parts, self.parts.sampling.max_new_tokens
        check_prompts(
            ids,
            max_new_tokens=new_tokens,
            max_positions=self.policy.max_positions,
            vocabulary=vocabulary_size(self.policy.model),
        )
        laid = lay_out(ids, parts.pad_id, self.policy.device)
        decoder = _GuidedDecoder(new_decoder(self.policy.model, new_tokens), self, ids)
        done = decode(decoder, laid, noise, parts.sampling, parts.end_ids, parts.pad_id)
        return done.counted(self.policy.model)

    @torch.no_grad()
    def completion_logits(self, sequences: Sequences) -> Tensor:
        """Logits of the guided distribution at temperature 1, (N, V)."""
        row, column = sequences.completion.nonzero(as_tuple=True)
        prompts = (sequences.attention & ~sequences.completion).sum(-1)
        logits, drawn = upcast(self.policy.completion_logits(sequences)), sequences.ids[row, column]
        return self.guide(logits, sequences.ids[row], prompts[row], column, drawn)

    def guide(self, logits: Tensor, ids: Tensor, prompts: Tensor, lengths: Tensor, drawn: Tensor | None) -> Tensor:
        """Logits (N, V) of the token after each prefix, re-weighed; see `prefix_rewards`."""
        candidates = top_tokens(logits, self.config.top_k, drawn)
        rewards = prefix_rewards(self.reward, ids, prompts, lengths, candidates, self.parts.end_ids)
        return guided_logits(logits, candidates, rewards, self.config.reward_weight)


class _GuidedDecoder:
    """A Decoder that knows what it has decoded, and asks the reward what should come next."""

    def __init__(self, inner: Decoder, sampler: ARGSSampler, prompts: Sequence[Sequence[int]]) -> None:
        self.inner, self.sampler = inner, sampler
        laid = pad([(prompt, ()) for prompt in prompts], sampler.parts.pad_id).to(sampler.policy.device)
        new = laid.ids.new_zeros(len(laid.ids), sampler.parts.sampling.max_new_tokens)
        self.ids = torch.cat([laid.ids, new], -1)
        self.prompts = laid.attention.sum(-1)
        self.lengths = self.prompts.clone()

    def start(self, prompts: Prompts) -> Tensor:
        return self._guided(self.inner.start(prompts))

    def step(self, ids: Tensor) -> Tensor:
        self.ids.scatter_(1, self.lengths[:, None], ids[:, None])
        self.lengths = self.lengths + 1
        return self._guided(self.inner.step(ids))

    def keep(self, rows: Tensor) -> None:
        self.inner.keep(rows)
        self.ids, self.prompts, self.lengths = self.ids[rows], self.prompts[rows], self.lengths[rows]

    def _guided(self, logits: Tensor) -> Tensor:
        return self.sampler.guide(upcast(logits), self.ids, self.prompts, self.lengths, None)
