"""The transformer below a head, run on right-padded rows for the states that a head reads.

Two things are left out. Completions of one prompt share one pass over it where the model takes a mask for that
(`shared`). And what treats tokens one by one in the last block runs only where its result is read, since no later
block looks at other positions: of a reward model that is one token a row, of a policy the completions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alignlab.data.batch import Sequences
from alignlab.models.modes import evaluating
from alignlab.models.shared import lay_out, longest_group, probe, run
from alignlab.work import passed

TOKEN_BY_TOKEN = (
    *("mlp", "feed_forward", "ffn"),
    *("self_attn.q_proj", "self_attn.o_proj", "self_attn.dense", "attn.c_proj", "attn.out_proj"),
    *("attention.dense", "self_attention.dense"),
)
"""What models call the parts of a block that a token passes by itself; keys and values are read by later tokens."""
WORTH = 0.9
"""The last block is narrowed where at most this share of the positions is read."""


class Trunk:
    """A base model as what policies and scorers read hidden states from."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        vocabulary = model.config.get_text_config().vocab_size
        with evaluating(model):
            self.apart = probe(model.base_model, vocabulary)
            """Why completions of one prompt run with a copy of it each; '' where they share it."""
            self.last = _token_by_token(model.base_model, vocabulary)
            """What of the last block need not run where nothing is read."""
        self.longest_group = longest_group(model, max_positions(model))
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
        """Run what can be narrowed at these flattened positions alone; elsewhere they give zeros nobody reads."""
        # What is computed again in the backward pass is so without the hooks.
        again = torch.is_grad_enabled() and any(part.gradient_checkpointing for part in self.recomputing)
        if not self.last or again or len(index) > WORTH * positions:
            yield
            return
        # Completions that start together read the same state of their prompt, which then runs once.
        rows = torch.zeros(positions, dtype=torch.bool, device=index.device).index_fill_(0, index, True)
        with narrowed(self.last, rows.nonzero().squeeze(-1)):
            yield


@contextmanager
def narrowed(parts: Sequence[nn.Module], rows: Tensor) -> Iterator[None]:
    """Run parts that treat every token by itself at some of the flattened positions; results are 0 elsewhere."""
    grid: list[torch.Size] = []

    def gather(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        states: Tensor = inputs[0]
        grid[:] = [states.shape[:2]]
        return states.flatten(0, 1)[rows][None], *inputs[1:]

    def scatter(_: nn.Module, __: tuple[Any, ...], found: Tensor) -> Tensor:
        ((count, length),) = grid
        width = found.shape[-1]
        return found.new_zeros(count * length, width).index_copy(0, rows, found[0]).view(count, length, width)

    hooks = [
        hook for part in parts for hook in (part.register_forward_pre_hook(gather), part.register_forward_hook(scatter))
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _token_by_token(model: nn.Module, vocabulary: int) -> list[nn.Module]:
    """Parts of the last block that leave its states as they are where they run, whether they run elsewhere or not."""
    blocks = [part for part in model.children() if isinstance(part, nn.ModuleList) and len(part)]
    if len(blocks) != 1:
        return []
    earlier = {part for block in blocks[0][:-1] for part in block.modules()}
    named = dict(blocks[0][-1].named_modules())
    parts = [named[name] for name in TOKEN_BY_TOKEN if name in named and named[name] not in earlier]
    if _may_be_narrowed(model, parts, vocabulary):
        return parts
    return [part for part in parts if _may_be_narrowed(model, [part], vocabulary)]


@torch.no_grad()
def _may_be_narrowed(model: nn.Module, parts: Sequence[nn.Module], vocabulary: int) -> bool:
    ids = (torch.arange(12, device=next(model.parameters()).device).view(2, 6) * 7 + 3) % vocabulary
    rows = torch.tensor([2, 5, 6, 11], device=ids.device)
    try:
        whole = run(model, ids).flatten(0, 1)[rows]
        with narrowed(parts, rows):
            some = run(model, ids).flatten(0, 1)[rows]
    except (TypeError, ValueError, RuntimeError, LookupError, AttributeError):  # one takes or gives something else
        return False
    return torch.allclose(whole.float(), some.float(), rtol=1e-3, atol=1e-4)


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
