"""Batches: what a training step receives. Right padded, with masks from lengths and never from token identity.

A pad token that equals the end token, or no pad token at all, therefore changes nothing. Every batch can be
cut into micro-batches whose superfluous padding is removed; no result may depend on how it is cut.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from alignlab.data.schema import Prompt
from alignlab.errors import DataError
from alignlab.numerics.masked import position_ids


class Sequences(NamedTuple):
    """Prompts with their completions, one a row. `len()` counts the three fields: use `rows` for rows."""

    ids: Tensor
    """Token ids, (B, T) long; where `attention` is False the value means nothing."""
    attention: Tensor
    """True on tokens, False on padding, (B, T) bool."""
    completion: Tensor
    """True on completion tokens, the end token included, (B, T) bool."""

    @property
    def rows(self) -> int:
        """B."""
        return self.ids.shape[0]

    @property
    def positions(self) -> Tensor:
        """Position of each token among the tokens of its row, 0 on leading padding, (B, T) long."""
        return position_ids(self.attention)

    @property
    def lengths(self) -> Tensor:
        """Completion tokens of each row, the end token included, (B,) long."""
        return self.completion.sum(-1)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Sequences:
        """The same rows on another device."""
        return Sequences(*(field.to(device, non_blocking=non_blocking) for field in self))

    def select(self, index: Tensor | slice) -> Sequences:
        """Some rows, at unchanged width."""
        return Sequences(*(field[index] for field in self))

    def check_right_padded(self) -> None:
        """Raise DataError where a row begins with padding, which models would read as text."""
        if not bool(self.attention[:, 0].all()):
            raise DataError("a row begins with padding, which models read as text", "pad on the right")

    def trim(self) -> Sequences:
        """Without the columns on the right that are padding in every row.

        Tensors aligned with the untrimmed `ids` stay aligned after `[:, :ids.shape[1]]`.
        """
        used = self.attention.any(0).nonzero()
        width = int(used[-1]) + 1 if len(used) else 0
        return Sequences(*(field[:, :width] for field in self))

    def micro(self, rows: int) -> Iterator[Sequences]:
        """Slices of at most `rows` rows in order, each trimmed to its own longest row."""
        for start in range(0, self.rows, rows):
            yield self.select(slice(start, start + rows)).trim()

    def split(self) -> list[tuple[list[int], list[int]]]:
        """Prompt ids and completion ids of each row, without padding: what `pad` takes."""
        real, reply = self.attention, self.completion
        return [
            (self.ids[row][real[row] & ~reply[row]].tolist(), self.ids[row][reply[row]].tolist())
            for row in range(self.rows)
        ]

    def scatter(self, values: Sequence[np.ndarray]) -> Tensor:
        """Per-row values of the completion tokens, aligned with `ids` and 0 elsewhere: (B, T) float32.

        `values[row]` has `lengths[row]` entries. Inverse of `gather`.
        """
        out = torch.zeros(self.ids.shape, dtype=torch.float32, device=self.ids.device)
        flat = np.concatenate([np.zeros(0), *values])
        out[self.completion] = torch.as_tensor(flat, dtype=torch.float32, device=self.ids.device)
        return out

    def spread(self, values: Tensor) -> Tensor:
        """Values of all completion tokens, row by row, (N,), in their places: (B, T), 0 elsewhere; with gradient."""
        return values.new_zeros(self.completion.shape).masked_scatter(self.completion, values)

    def shared_lengths(self, groups: Tensor) -> Tensor:
        """Tokens of groups of rows with one prompt, which counts once: row numbers (G, n) -> (G,)."""
        replies, whole = self.lengths[groups], self.attention.sum(-1)[groups]
        return (whole - replies)[:, 0] + replies.sum(-1)

    def gather(self, values: Tensor) -> list[np.ndarray]:
        """Entries of a (B, T) tensor on completion tokens, one float32 array a row. Inverse of `scatter`."""
        kept = values[self.completion].detach().float().cpu().numpy()
        return np.split(kept, np.cumsum(self.lengths.cpu().numpy())[:-1])


TOKENS = 16_384
"""Tokens, padding included, in one forward pass with gradient when nothing else is asked for."""


def length_cuts(lengths: Tensor, rows: int = 0, *, tokens: int = TOKENS, spare: int = 0) -> list[Tensor]:
    """Row numbers of micro-batches, shortest rows first, so that little of each is padding: (B,) -> [(b,), ...].

    At most `rows` rows each; 0 means as many as `tokens` holds at the width of the longest. Every row is in one. They
    are cut further on a CPU, wherever that saves more than `spare` tokens of padding, unless 0; a GPU rather has few.
    """
    order = torch.argsort(lengths, stable=True)
    if rows:
        return list(order.split(rows))
    cuts, start = [], 0
    for stop, width in enumerate(lengths[order].tolist(), 1):
        if (stop - start) * width > tokens and stop - 1 > start:
            cuts.append(order[start : stop - 1])
            start = stop - 1
    cuts.append(order[start:])
    if not spare or lengths.device.type != "cpu":
        return cuts
    return [part for cut in cuts for part in _tightened(cut, lengths[cut], spare)]


def _tightened(rows: Tensor, lengths: Tensor, spare: int) -> list[Tensor]:
    """Rows, shortest first, cut in two where that saves most padding, and so on while it saves enough."""
    if len(rows) < 2:
        return [rows]
    saved = torch.arange(1, len(rows)) * (lengths[-1] - lengths[:-1])
    most, place = saved.max(0)
    if int(most) <= spare:
        return [rows]
    at = int(place) + 1
    return [*_tightened(rows[:at], lengths[:at], spare), *_tightened(rows[at:], lengths[at:], spare)]


def over_rows(sequences: Sequences, score: Callable[[Sequences], Tensor], rows: int = 0) -> Tensor:
    """Values of all rows, (B, ...) or per token (B, T, ...), computed on micro-batches of rows of similar length.

    `score` takes trimmed rows and yields (b,), or (b, t, ...) of their width; shorter ones are filled with 0.
    """
    grid: Tensor | None = None
    for part in length_cuts(sequences.attention.sum(-1), rows):
        values = score(sequences.select(part).trim())
        if grid is None:
            width = sequences.ids.shape[1:] if values.dim() > 1 else ()
            grid = values.new_zeros((sequences.rows, *width, *values.shape[2:]))
        if values.dim() > 1:
            grid[part, : values.shape[1]] = values
        else:
            grid[part] = values
    assert grid is not None
    return grid


Ids = Sequence[int] | np.ndarray


def pad(rows: Sequence[tuple[Ids, Ids]], pad_id: int | None) -> Sequences:
    """Right-padded `Sequences` from (prompt ids, completion ids); masks come from the lengths.

    `pad_id` only fills the unused cells, so any id will do; None becomes 0.
    """
    width = max((len(prompt) + len(reply) for prompt, reply in rows), default=0)
    ids = np.full((len(rows), width), pad_id or 0, dtype=np.int64)
    lengths = np.zeros((2, len(rows), 1), dtype=np.int64)
    for row, (prompt, reply) in enumerate(rows):
        start, end = len(prompt), len(prompt) + len(reply)
        ids[row, :start], ids[row, start:end] = prompt, reply
        lengths[:, row, 0] = start, end
    columns = np.arange(width)
    attention = columns < lengths[1]
    completion = attention & (columns >= lengths[0])
    return Sequences(*map(torch.from_numpy, (ids, attention, completion)))


@dataclass(frozen=True)
class Batch:
    """What all batches share: a device, and how many rows of the stream they hold."""

    index: Tensor
    """Position of each row in the tokenised list it comes from, (B,) long."""

    def __len__(self) -> int:
        return len(self.index)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The same batch on another device; Lightning calls this."""
        moved: dict[str, Any] = {
            spec.name: value.to(device, non_blocking=non_blocking)
            for spec in fields(self)
            if isinstance(value := getattr(self, spec.name), Tensor | Sequences)
        }
        return replace(self, **moved)


class TokenBatch(Batch, ABC):
    """A batch of padded rows, which can be cut into micro-batches. No result may depend on how."""

    @property
    @abstractmethod
    def lengths(self) -> Tensor:
        """What each row costs in tokens, (B,)."""

    @abstractmethod
    def select(self, part: Tensor) -> Self:
        """Some rows, (b,) numbers, without superfluous padding."""

    def micro(self, rows: int) -> Iterator[Self]:
        """Slices of at most `rows` rows, in order."""
        for part in torch.arange(len(self), device=self.index.device).split(rows):
            yield self.select(part)

    def by_length(self, rows: int = 0, spare: int = 0) -> list[Self]:
        """Micro-batches of rows of similar length; see `length_cuts`."""
        return [self.select(part) for part in length_cuts(self.lengths, rows, spare=spare)]


def _pair_lengths(sequences: Sequences) -> Tensor:
    """Tokens of pairs whose first rows come before all second ones, (2B, T) -> (B,)."""
    return sequences.shared_lengths(torch.arange(sequences.rows, device=sequences.ids.device).view(2, -1).T)


def _cut(values: Tensor | None, rows: Tensor | slice, width: int | None = None) -> Tensor | None:
    if values is None:
        return None
    return values[rows] if width is None else values[rows, :width]


@dataclass(frozen=True)
class PairBatch(TokenBatch):
    """Pairs; the 2B rows of `sequences` are all chosen ones, then all rejected ones."""

    sequences: Sequences
    reference: Tensor | None = None
    """Token log-probabilities of the reference, aligned with `sequences.ids`, 0 off the completion, (2B, T)."""
    margin: Tensor | None = None
    """How much better chosen is, in preference logits; NaN where unknown, (B,)."""
    probability: Tensor | None = None
    """P(chosen preferred); 1 where the source says nothing, (B,)."""

    @property
    def lengths(self) -> Tensor:
        """Tokens of each pair, its prompt once and both completions, (B,)."""
        return _pair_lengths(self.sequences)

    def select(self, part: Tensor) -> PairBatch:
        """Some pairs, (b,) numbers, both completions of each, without superfluous padding."""
        both = torch.cat([part, part + len(self)])
        sequences = self.sequences.select(both).trim()
        return PairBatch(
            self.index[part],
            sequences,
            _cut(self.reference, both, sequences.ids.shape[1]),
            _cut(self.margin, part),
            _cut(self.probability, part),
        )


@dataclass(frozen=True)
class SafetyBatch(TokenBatch):
    """Pairs judged for harm; the 2B rows of `sequences` are all more harmful ones, then all others."""

    sequences: Sequences
    harmful: Tensor
    """Whether each completion is harmful, (B, 2) bool, the more harmful one first."""
    ordered: Tensor
    """Whether it was said which is more harmful, (B,) bool."""

    @property
    def lengths(self) -> Tensor:
        """Tokens of each pair, its prompt once and both completions, (B,)."""
        return _pair_lengths(self.sequences)

    def select(self, part: Tensor) -> SafetyBatch:
        """Some pairs, (b,) numbers, both completions of each, without superfluous padding."""
        sequences = self.sequences.select(torch.cat([part, part + len(self)])).trim()
        return SafetyBatch(self.index[part], sequences, self.harmful[part], self.ordered[part])


@dataclass(frozen=True)
class LabelBatch(TokenBatch):
    """Completions judged desirable or not."""

    sequences: Sequences
    desirable: Tensor
    """(B,) bool."""
    reference: Tensor | None = None
    """Token log-probabilities of the reference, aligned with `sequences.ids`, 0 off the completion, (B, T)."""
    mismatched: Sequences | None = None
    """Each prompt with the completion of another prompt, one a row."""
    mismatched_reference: Tensor | None = None
    """Token log-probabilities of the reference on those, (B, T')."""

    @property
    def lengths(self) -> Tensor:
        """Tokens of each row, prompt included, (B,)."""
        return self.sequences.attention.sum(-1)

    def select(self, part: Tensor) -> LabelBatch:
        """Some rows, (b,) numbers, without superfluous padding and without mismatched completions."""
        sequences = self.sequences.select(part).trim()
        reference = _cut(self.reference, part, sequences.ids.shape[1])
        return LabelBatch(self.index[part], sequences, self.desirable[part], reference)


@dataclass(frozen=True)
class DemonstrationBatch(TokenBatch):
    """Completions to imitate."""

    sequences: Sequences

    @property
    def lengths(self) -> Tensor:
        """Tokens of each row, prompt included, (B,)."""
        return self.sequences.attention.sum(-1)

    def select(self, part: Tensor) -> DemonstrationBatch:
        """Some rows, (b,) numbers, without superfluous padding."""
        return DemonstrationBatch(self.index[part], self.sequences.select(part).trim())


@dataclass(frozen=True)
class PromptBatch(Batch):
    """Prompts to be answered. Nothing is padded: the engine lays tokens out as it needs them."""

    prompts: list[list[int]]
    """Token ids of each prompt, ready for generation."""
    rows: list[Prompt]
    """The prompts themselves, for rewards that read text."""
