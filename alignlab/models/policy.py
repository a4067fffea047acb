"""A causal language model seen as a policy: prompts in, log-probabilities of completions out.

The one place where log-probabilities of completions are computed for training. Rows are right padded, so under
causal attention nothing that is read can depend on padding, and no attention mask is passed. What a head would not read
is not computed where the model allows it (`trunk`), and the head runs on completion positions only.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignlab.data.batch import Sequences
from alignlab.errors import DataError
from alignlab.models.modes import evaluating
from alignlab.models.shared import run
from alignlab.models.trunk import Trunk, max_positions
from alignlab.numerics.logps import upcast
from alignlab.work import passed

NO_HEAD = "its logits are more than a head over hidden states"
CHUNK_ELEMENTS = 1 << 25
"""Logits held at once; above this the head runs in recomputed chunks."""


class TokenOutputs(NamedTuple):
    """Per-token outputs aligned with `Sequences.ids`, 0 outside the completion; all but the first on request."""

    logps: Tensor
    """Log-probability of each completion token, (B, T), at least float32."""
    entropy: Tensor | None = None
    """Entropy in nats of the distribution it was drawn from, (B, T), without gradient."""
    collision: Tensor | None = None
    """log sum_v pi(v)^2 of that distribution, (B, T), without gradient."""


class Policy(nn.Module):
    """Wraps a transformers causal language model, which stays available as `.model`."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        with evaluating(model):
            separable = _head_is_separable(model)
        self.trunk = Trunk(model) if separable else None
        """What the head reads from; None where logits are more than a head over hidden states."""

    @property
    def apart(self) -> str:
        """Why completions of one prompt run with a copy of it each; '' where they share it."""
        return NO_HEAD if self.trunk is None else self.trunk.apart

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def max_positions(self) -> int:
        """Longest sequence the model was made for, in tokens."""
        return max_positions(self.model)

    def completion_logits(self, sequences: Sequences) -> Tensor:
        """Logits that predict each completion token, row by row: N completion tokens -> (N, V)."""
        states, head = self._states(sequences)
        logits: Tensor = head(states)
        return logits

    def forward(self, sequences: Sequences, *, entropy: bool = False, collision: bool = False) -> TokenOutputs:
        """Log-probability of every completion token, (B, T), and what else of its distribution is asked for."""
        states, head = self._states(sequences)
        mask = sequences.completion
        targets = sequences.ids[mask]
        rows = max(1, CHUNK_ELEMENTS // self.model.config.get_text_config().vocab_size)

        def score(part: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
            distribution = upcast(head(part)).log_softmax(-1)
            with torch.no_grad():
                known = distribution.detach()
                extra = [-(known.exp() * known).sum(-1)] if entropy else []
                extra += [(2 * known).logsumexp(-1)] if collision else []
            return distribution.gather(-1, ids[:, None]).squeeze(-1), *extra

        if len(targets) <= rows:
            parts = [score(states, targets)]
        else:
            cut = zip(states.split(rows), targets.split(rows), strict=True)
            parts = [checkpoint(score, part, ids, use_reentrant=False) for part, ids in cut]
        grids = [sequences.spread(torch.cat(column)) for column in zip(*parts, strict=True)]
        return TokenOutputs(grids[0], grids[1] if entropy else None, grids[-1] if collision else None)

    def _states(self, sequences: Sequences) -> tuple[Tensor, nn.Module]:
        """What the head reads at the positions that predict completion tokens, (N, H), and the head."""
        sequences.check_right_padded()
        mask = sequences.completion
        if bool(mask[:, 0].any()):
            raise DataError("a completion starts at the first token: nothing predicts it", "give every row a prompt")
        counted = sequences.attention & mask.any(-1, keepdim=True)  # rows without a completion are asked nothing
        if self.trunk is not None:
            read = nn.functional.pad(mask[:, 1:], (0, 1))
            return self.trunk.read(sequences, read, counted), self.model.get_output_embeddings()
        passed(self.model, counted)
        logits = self.model(input_ids=sequences.ids, use_cache=False).logits
        return logits[:, :-1][mask[:, 1:]], nn.Identity()

    def hidden(self, ids: Tensor, counted: Tensor) -> Tensor:
        """Last hidden states of right-padded rows, (B, T) -> (B, T, H); `counted` says which tokens are work."""
        passed(self.model, counted)
        return run(self.model.base_model, ids)

    def save(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Write a directory that AutoModelForCausalLM and AutoTokenizer load."""
        self.model.save_pretrained(folder, safe_serialization=True)
        tokenizer.save_pretrained(folder)


@torch.no_grad()
def _head_is_separable(model: PreTrainedModel) -> bool:
    """Whether the head reads the last hidden state as it is, and the logits are what the head returns.

    Some models scale or cap logits; asking the model itself is safer than a list of their names. The head is made
    to return large numbers, since a cap leaves the small logits of fresh weights nearly as they are.
    """
    head = model.get_output_embeddings()
    if head is None or model.base_model is model:
        return False
    ids = torch.arange(5, device=model.device)[None] % model.config.get_text_config().vocab_size
    seen: list[Tensor] = []

    def answer(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        large = torch.linspace(-300, 300, output.numel(), device=output.device).to(output.dtype).view_as(output)
        seen[:] = [inputs[0], large]
        return large

    hook = head.register_forward_hook(answer)
    try:
        whole = model(input_ids=ids, use_cache=False).logits
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    finally:
        hook.remove()
    if not seen or seen[0].shape != hidden.shape or whole.shape != seen[1].shape:
        return False
    return torch.allclose(seen[0], hidden, rtol=1e-4, atol=1e-5) and torch.equal(whole, seen[1].to(whole.dtype))
