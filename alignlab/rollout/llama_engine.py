"""Fast sampling for Llama-shaped models: raw weights, fused projections, a preallocated cache.

The same distribution as the training forward, to rounding. What makes it fast for small models on one thread:
few, large operations; the last layer's feed-forward and the head run on the last prompt token only; repeated
prompts are read once; finished rows leave the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu
from transformers import PreTrainedModel

from alignlab.errors import ModelError
from alignlab.models.trunk import max_positions
from alignlab.numerics.masked import position_ids
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.decode import decode
from alignlab.rollout.llama_weights import Layer, LlamaWeights, unsupported
from alignlab.rollout.prompts import Prompts, check_prompts, lay_out
from alignlab.rollout.sampling import Sampling

READ_TOKENS = 2048
"""Prompt tokens in one pass: intermediate results of this size stay in a processor's cache."""
BLOCK = 16
"""Cache columns are read in multiples of this, which vectorises the softmax over them."""


class LlamaEngine:
    """Generation over the live weights of a model; nothing is cached between calls, so training may go on."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        sampling: Sampling,
        end_ids: tuple[int, ...],
        pad_id: int,
        reason: str = "built-in engine",
    ) -> None:
        problem = unsupported(model)
        if problem:
            raise ModelError(f"the built-in engine cannot run this model: {problem}", "choose the transformers engine")
        self.model, self.sampling, self.end_ids, self.pad_id = model, sampling, end_ids, pad_id
        self.reason = reason

    @torch.no_grad()
    def sample(self, prompts: Sequence[Sequence[int]], noise: Noise) -> Rollouts:
        """One completion for each prompt, drawn with the noise of its row.

        DataError for a prompt that is empty, too long or not of this vocabulary; TrainingError when the model's
        logits are not finite.
        """
        weights = LlamaWeights.of(self.model)
        check_prompts(
            prompts,
            max_new_tokens=self.sampling.max_new_tokens,
            max_positions=max_positions(self.model),
            vocabulary=len(weights.embedding),
        )
        laid = lay_out(prompts, self.pad_id, weights.embedding.device)
        decoder = _LlamaDecoder(weights, self.sampling.max_new_tokens)
        # Mixed precision of a surrounding training step would split weights and cache into two dtypes.
        with torch.autocast(weights.embedding.device.type, enabled=False):
            rollouts = decode(decoder, laid, noise, self.sampling, self.end_ids, self.pad_id)
        return rollouts.counted(self.model)


class _LlamaDecoder:
    """A Decoder over raw weights. Cache column c holds what every row read or wrote in step c.

    Columns are read in whole blocks; the bias hides those not written yet, which are zero and not garbage,
    because a weight of 0 times NaN is NaN.
    """

    def __init__(self, weights: LlamaWeights, new_tokens: int) -> None:
        self.w, self.new_tokens = weights, new_tokens
        self.group = weights.heads // weights.kv_heads
        self.rotated = weights.heads + weights.kv_heads
        self.used = 0
        self.rotations: Tensor
        self.position: Tensor
        """Of the newest token of each row, (B,)."""
        self.keys: list[Tensor]
        """Of each layer, (B, kv heads, width, head_dim)."""
        self.values: list[Tensor]
        self.bias: Tensor
        """Added to scores: -inf where there is padding or nothing yet, else 0, (B, kv heads, width)."""

    def start(self, prompts: Prompts) -> Tensor:
        self._allocate(prompts)
        positions = position_ids(prompts.attention)
        self.position = positions[prompts.source, -1]
        count, columns = prompts.ids.shape
        step = max(1, READ_TOKENS // columns)
        states = [self._read(prompts, positions, slice(at, at + step)) for at in range(0, count, step)]
        return self._head(torch.cat(states))[prompts.source]

    def step(self, ids: Tensor) -> Tensor:
        self.position = self.position + 1
        rotation = self.rotations[self.position].unsqueeze(1)
        self.bias[..., self.used] = 0
        self.used += 1
        x = self.w.embedding[ids]
        for index, layer in enumerate(self.w.layers):
            x = self._write(index, layer, x, rotation)
        return self._head(x)

    def keep(self, rows: Tensor) -> None:
        here = torch.arange(len(rows), device=rows.device)
        moved = (rows != here).nonzero().squeeze(-1)
        source = rows[moved]
        for buffer in (*self.keys, *self.values):
            buffer[moved, :, : self.used] = buffer[source, :, : self.used]
        self.bias[moved] = self.bias[source]
        self.keys, self.values = ([buffer[: len(rows)] for buffer in part] for part in (self.keys, self.values))
        self.bias, self.position = self.bias[: len(rows)], self.position[rows]

    def _allocate(self, prompts: Prompts) -> None:
        w, rows = self.w, len(prompts.source)
        self.used = prompts.ids.shape[1]
        width = -(-(self.used + self.new_tokens) // BLOCK) * BLOCK
        self.rotations = _rotations(w, width)
        shape = (rows, w.kv_heads, width, w.head_dim)
        self.keys, self.values = ([w.embedding.new_zeros(shape) for _ in w.layers] for _ in range(2))
        self.bias = w.embedding.new_full(shape[:-1], -torch.inf)
        self.bias[..., : self.used].masked_fill_(prompts.attention[prompts.source].unsqueeze(1), 0)

    def _project(self, layer: Layer, x: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries and keys, and values: (..., H) -> (..., heads, head_dim) each."""
        w = self.w
        qkv = linear(rms_norm(x, x.shape[-1:], layer.norm, w.eps), *layer.qkv).unflatten(-1, (-1, w.head_dim))
        turned = _rotate(qkv[..., : self.rotated, :], rotation)
        return turned[..., : w.heads, :], turned[..., w.heads :, :], qkv[..., self.rotated :, :]

    def _mlp(self, layer: Layer, x: Tensor) -> Tensor:
        y = rms_norm(x, x.shape[-1:], layer.mlp_norm, self.w.eps)
        gated = silu(linear(y, *layer.gate), inplace=True).mul_(linear(y, *layer.up))
        return x + linear(gated, *layer.down)

    def _head(self, x: Tensor) -> Tensor:
        return linear(rms_norm(x, x.shape[-1:], self.w.norm, self.w.eps), *self.w.head)

    def _read(self, prompts: Prompts, positions: Tensor, part: slice) -> Tensor:
        """Run some of the distinct prompts and cache them: state of their last token, (rows of part, H)."""
        real, rotation = prompts.attention[part], self.rotations[positions[part]].unsqueeze(2)
        visible = None if bool(real.all()) else _causal(real)
        rows, copies = part, slice(None)
        if prompts.repeated:
            rows = ((prompts.source >= part.start) & (prompts.source < part.stop)).nonzero().squeeze(-1)
            copies = prompts.source[rows] - part.start
        x = self.w.embedding[prompts.ids[part]]
        for index, layer in enumerate(self.w.layers):
            q, k, v = (side.transpose(1, 2) for side in self._project(layer, x, rotation))
            self.keys[index][rows, :, : self.used] = k[copies]
            self.values[index][rows, :, : self.used] = v[copies]
            if index + 1 == len(self.w.layers):  # only the last token is read from here on
                q, x, visible = q[:, :, -1:], x[:, -1:], real[:, None, None]
            if self.group > 1:
                k, v = (side.repeat_interleave(self.group, 1) for side in (k, v))
            mixed = scaled_dot_product_attention(q, k, v, visible, is_causal=visible is None, scale=self.w.scaling)
            x = self._mlp(layer, x + linear(mixed.transpose(1, 2).flatten(2), *layer.out))
        return x[:, -1]

    def _write(self, index: int, layer: Layer, x: Tensor, rotation: Tensor) -> Tensor:
        """One block over one new token a row, (B, H). Batched products beat fused attention at this size."""
        w, last, window = self.w, self.used - 1, -(-self.used // BLOCK) * BLOCK
        q, k, v = self._project(layer, x, rotation)
        keys, values = self.keys[index], self.values[index]
        keys[:, :, last], values[:, :, last] = k, v
        scores = torch.baddbmm(
            self.bias.flatten(0, 1).unsqueeze(1)[..., :window],
            q.unflatten(1, (w.kv_heads, self.group)).flatten(0, 1),
            keys.flatten(0, 1)[:, :window].transpose(1, 2),
            alpha=w.scaling,
        )
        mixed = torch.bmm(_softmax(scores), values.flatten(0, 1)[:, :window])
        return self._mlp(layer, x + linear(mixed.view(len(x), -1), *layer.out))


def _causal(real: Tensor) -> Tensor:
    """Who may look at whom in left-padded prompts: (U, P) -> (U, 1, P, P) bool.

    Padding may look at itself: a row that may look at nothing would turn into NaN, and NaN times a weight of 0
    would reach the real tokens.
    """
    columns = torch.arange(real.shape[1], device=real.device)
    seen = (columns <= columns[:, None]) & real[:, None] | (columns == columns[:, None])
    return seen.unsqueeze(1)


def _rotations(w: LlamaWeights, width: int) -> Tensor:
    """Unit complex numbers times the rotary scale, (width, head_dim / 2), angles in float32 as in training."""
    frequencies = w.frequencies.float()
    angles = torch.arange(width, device=frequencies.device).float()[:, None] * frequencies
    wide = torch.promote_types(w.embedding.dtype, torch.float32)
    scale = w.rotary_scale
    return torch.complex((angles.cos() * scale).to(wide), (angles.sin() * scale).to(wide))


def _rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn adjacent pairs: (..., heads, head_dim) by (..., 1, head_dim / 2), in at least float32."""
    wide = x.to(rotation.real.dtype).unflatten(-1, (-1, 2))
    return torch.view_as_real(torch.view_as_complex(wide) * rotation).flatten(-2).to(x.dtype)


def _softmax(scores: Tensor) -> Tensor:
    """Over the last dimension, in at least float32, back in the dtype of the scores."""
    return scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(scores.dtype)
