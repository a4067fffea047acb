"""One pass over each prompt for all its completions: rows of a group are laid out behind one copy of their prompt.

    prompt  completion 1  completion 2  …

A token sees its prompt and the tokens of its own completion before it, at the positions it has in a row of its own,
so that hidden states are those of separate rows up to rounding. Tree attention of this kind is exact for every
model that takes a mask and positions; `probe` asks the model itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from alignlab.data.batch import Sequences

WORTH = 0.85
"""Rows are laid out together where that leaves at most this share of the tokens, padding included."""
CELLS = 1 << 26
"""Largest mask, in elements; above it rows stay apart."""
ANY = 1 << 30
_SEED = 0x9E3779B97F4A7C15


class Layout(NamedTuple):
    """Groups of completions behind their prompts, right padded."""

    ids: Tensor
    """(G, L) long."""
    positions: Tensor
    """(G, L) long: the position of each token in a row of its own."""
    segment: Tensor
    """(G, L) long: 0 in the prompt, k in the k-th completion, -1 on padding."""
    place: Tensor
    """(B, T) long: where each token of the separate rows is, in the flattened (G L); 0 on padding."""

    def visible(self) -> Tensor:
        """Which tokens each token sees, (G, 1, L, L) bool; padding sees itself."""
        own, length = self.segment, self.segment.shape[1]
        before = torch.ones(length, length, dtype=torch.bool, device=own.device).tril()
        same = (own[:, :, None] == own[:, None, :]) | (own == 0)[:, None, :]
        return (same & before)[:, None]

    def inputs(self, model: nn.Module) -> dict[str, Tensor]:
        """What a model is given beside the ids: who sees whom, in the form its attention takes, and positions."""
        mask = self.visible()
        if getattr(model.config, "_attn_implementation", "") != "sdpa":
            dtype = next(model.parameters()).dtype
            mask = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)
        return {"attention_mask": mask, "position_ids": self.positions}


def longest_group(model: nn.Module, positions: int) -> int:
    """How many tokens a group may have; `positions` is how many a row may have.

    Any number, since no token stands further back than in a row of its own, unless the model holds a mask of that size.
    """
    held = any(buffer.dim() > 1 and buffer.shape[-1] == buffer.shape[-2] == positions for buffer in model.buffers())
    return positions if held else ANY


def lay_out(sequences: Sequences, most: int = ANY) -> Layout | None:
    """The layout of right-padded rows, or None where too few share a prompt for it to be worth while.

    Rows are put together by their prompts wherever they stand in the batch; ids are compared, not only hashed. A group
    of more than `most` tokens keeps all rows apart.
    """
    ids, real, reply = sequences
    rows, width = ids.shape
    prompt = real & ~reply
    lengths, replies = prompt.sum(-1), reply.sum(-1)
    group, first = _groups(ids, prompt)
    count = len(first)
    if count == rows:
        return None
    totals = lengths[first].scatter_add(0, group, replies)
    longest = int(totals.max())
    if longest > most or count * longest > WORTH * rows * width or count * longest**2 > CELLS:
        return None
    member, starts = _before(group, torch.stack([torch.ones_like(replies), replies], -1)).unbind(-1)
    column = torch.arange(width, device=ids.device)
    inside = torch.where(reply, starts[:, None] + column, column)
    place = torch.where(real, group[:, None] * longest + inside, 0)
    flat, own = place[real], torch.where(reply, (member + 1)[:, None], 0)
    laid, positions = ids.new_zeros(count * longest), ids.new_zeros(count * longest)
    segment = ids.new_full((count * longest,), -1)
    laid[flat], positions[flat], segment[flat] = ids[real], column.expand(rows, width)[real], own[real]
    grid = (count, longest)
    return Layout(laid.view(grid), positions.view(grid), segment.view(grid), place)


def _groups(ids: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor]:
    """Group of each row by its prompt, (B,), and the first row of each group, (G,); alone where hashes collide."""
    weights = _weights(ids.shape[1], ids.device)
    code = ((ids + 1) * weights * prompt).sum(-1)
    _, group = torch.unique(code, return_inverse=True)
    numbers = torch.arange(len(ids), device=ids.device)
    first = numbers.new_full((int(group.max()) + 1,), len(ids)).scatter_reduce(0, group, numbers, "amin")
    kept = first[group]
    same = ((ids == ids[kept]) | ~prompt).all(-1) & (prompt == prompt[kept]).all(-1)
    if not bool(same.all()):
        return numbers, numbers
    return group, first


def _weights(width: int, device: torch.device) -> Tensor:
    """Fixed odd multipliers, one a column; sums wrap around as 64-bit integers do."""
    steps = torch.arange(1, width + 1, device=device) * (_SEED - (1 << 64))
    steps = (steps ^ (steps >> 29)) * 0x2545F4914F6CDD1D
    return (steps ^ (steps >> 32)) | 1


def _before(group: Tensor, amounts: Tensor) -> Tensor:
    """Sum of `amounts` over earlier rows of the same group, (B, K) -> (B, K)."""
    order = torch.argsort(group, stable=True)
    earlier = amounts[order].cumsum(0) - amounts[order]
    found = torch.empty_like(earlier)
    found[order] = earlier
    index = group[:, None].expand_as(found)
    least = torch.full_like(found, torch.iinfo(found.dtype).max).scatter_reduce(0, index, found, "amin")
    return found - least[group]


def run(model: nn.Module, ids: Tensor, **inputs: Tensor) -> Tensor:
    """Last hidden states of rows of ids, (B, T) -> (B, T, H)."""
    found: Any = model(input_ids=ids, use_cache=False, **inputs)
    hidden: Tensor = found.last_hidden_state
    return hidden


def _windowed(config: Any) -> str:
    """The setting by which attention, of some layers at least, sees only what stands near; '' where all see all.

    A mask of ours would replace such a window, and a short probe would not show it.
    """
    if getattr(config, "use_sliding_window", True) and getattr(config, "sliding_window", None):
        return "sliding_window"
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if kinds:
        return f"layers of {', '.join(sorted(map(str, kinds)))}"
    named = [name for name in vars(config) if "window" in name or name in ("attention_chunk_size", "attention_layers")]
    return next((name for name in named if name not in _FREE and getattr(config, name)), "")


_FREE = ("use_sliding_window", "sliding_window", "max_window_layers")
"""Settings that limit nothing by themselves."""


@torch.no_grad()
def probe(model: nn.Module, vocabulary: int) -> str:
    """Why a model in eval mode cannot take the layout; '' where laid-out rows give the states of separate ones."""
    config: Any = model.config
    limit = _windowed(config.get_text_config())
    if limit:
        return f"its attention is limited by {limit}"
    device = next(model.parameters()).device
    ids = (torch.arange(24, device=device).view(2, 12) * 7 + 3) % vocabulary
    ids[1, :5] = ids[0, :5]
    real = torch.ones_like(ids, dtype=torch.bool)
    reply = real.clone()
    reply[:, :5] = False
    layout = lay_out(Sequences(ids, real, reply))
    assert layout is not None
    try:
        apart = run(model, ids)
        together = run(model, layout.ids, **layout.inputs(model)).flatten(0, 1)[layout.place]
    except (TypeError, ValueError, RuntimeError, LookupError, AttributeError) as error:
        return f"it does not take the mask: {str(error).splitlines()[0]}"
    if apart.shape != together.shape or not torch.allclose(apart.float(), together.float(), rtol=1e-3, atol=1e-4):
        return "it gives other hidden states under the mask"
    return ""
