"""The transformer below a head, run on right-padded rows for the states that a head reads.

Two things are left out. Completions of one prompt share one pass over it where the model takes a mask for that
(`shared`). And the feed-forward part of the last block runs only where its result is read, since no later block looks
at other positions: of a reward model that is one token a row, of a policy the completions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alignlab.data.batch import Sequences
from alignlab.models.shared import lay_out, longest_group, probe, run
from alignlab.work import passed

FEED_FORWARD = ("mlp", "feed_forward", "ffn")
"""What models call the feed-forward part of a block."""
WORTH = 0.9
"""The last block's part is narrowed where at most this share of the positions is read."""


class Trunk:
    """A base model as what policies and scorers read hidden states from."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        vocabulary = model.config.get_text_config().vocab_size
        self.apart = probe(model.base_model, vocabulary)
        """Why completions of one prompt run with a copy of it each; '' where they share it."""
        self.longest_group = longest_group(model, max_positions(model))
        self.last: nn.Module | None = _last_feed_forward(model.base_model, vocabulary)
        """What need not run where nothing is read; None where a model has no such part."""
        self.recomputing = [part for part in model.modules() if hasattr(part, "gradient_checkpointing")]
        """What may compute its states again in the backward pass; each says by that attribute whether it does."""

    def read(self, sequences: Sequences, where: Tensor, counted: Tensor) -> Tensor:
        """States after the tokens at `where`, a (B, T) bool mask of real tokens, row by row: (N, H).

        `counted` (B, T) says which tokens are work that the method asks for, however they are run.
        """
        passed(self.model, counted)
        layout = None if self.apart else lay_out(sequences, self.longest_group)
        if layout is None:
            ids, index, inputs = sequences.ids, where.flatten().nonzero().squeeze(-1), {}
        else:
            ids, index = layout.ids, layout.place[where]
            inputs = layout.inputs(self.model.base_model)
        with self._only(index, ids.numel()):
            return run(self.model.base_model, ids, **inputs).flatten(0, 1)[index]

    @contextmanager
    def _only(self, index: Tensor, positions: int) -> Iterator[None]:
        """Run the last feed-forward part at these flattened positions alone; elsewhere it adds nothing."""
        # What is computed again in the backward pass is so without the hooks.
        again = torch.is_grad_enabled() and any(part.gradient_checkpointing for part in self.recomputing)
        if self.last is None or again or len(index) > WORTH * positions:
            yield
            return
        # Completions that start together read the same state of their prompt, which then runs once.
        rows = torch.zeros(positions, dtype=torch.bool, device=index.device).index_fill_(0, index, True)
        with narrowed(self.last, rows.nonzero().squeeze(-1)):
            yield


@contextmanager
def narrowed(part: nn.Module, rows: Tensor) -> Iterator[None]:
    """Run a part that treats every token by itself at some of the flattened positions; its result is 0 elsewhere."""
    grid: list[torch.Size] = []

    def gather(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        states: Tensor = inputs[0]
        grid[:] = [states.shape]
        return states.flatten(0, 1)[rows][None], *inputs[1:]

    def scatter(_: nn.Module, __: tuple[Any, ...], found: Tensor) -> Tensor:
        (whole,) = grid
        return found.new_zeros(whole.numel() // whole[-1], whole[-1]).index_copy(0, rows, found[0]).view(whole)

    hooks = [part.register_forward_pre_hook(gather), part.register_forward_hook(scatter)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _last_feed_forward(model: nn.Module, vocabulary: int) -> nn.Module | None:
    """The last block's feed-forward part, if running it at some positions leaves the states there as they are."""
    blocks = [part for part in model.children() if isinstance(part, nn.ModuleList) and len(part)]
    if len(blocks) != 1:
        return None
    part = next((found for name in FEED_FORWARD if (found := getattr(blocks[0][-1], name, None)) is not None), None)
    if not isinstance(part, nn.Module) or any(part is other for block in blocks[0][:-1] for other in block.modules()):
        return None
    ids = (torch.arange(12, device=next(model.parameters()).device).view(2, 6) * 7 + 3) % vocabulary
    rows = torch.tensor([2, 5, 6, 11], device=ids.device)
    mode = model.training
    model.eval()
    try:
        whole = run(model, ids).flatten(0, 1)[rows]
        with narrowed(part, rows):
            some = run(model, ids).flatten(0, 1)[rows]
    except (TypeError, ValueError, RuntimeError, LookupError, AttributeError):  # it takes or gives something else
        return None
    finally:
        model.train(mode)
    return part if torch.allclose(whole.float(), some.float(), rtol=1e-3, atol=1e-4) else None


def max_positions(model: PreTrainedModel) -> int:
    """The context length a model's config states, or a very large number where it states none."""
    config = model.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        if isinstance(getattr(config, name, None), int):
            return int(getattr(config, name))
    return 1 << 30


def vocabulary_size(model: PreTrainedModel) -> int:
    """How many token ids a model reads: rows of its input embeddings."""
    embeddings: Any = model.get_input_embeddings()
    return int(embeddings.num_embeddings)
