"""The tabular policy as a causal language model, so that modules train it as they train any other.

A prompt is one token, its number; a completion is three tokens of six and has no end token.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, PretrainedConfig, PreTrainedModel

from alignlab.data.batch import Sequences
from alignlab.rollout.batch import Rollouts
from alignlab.worlds import exact


class TableConfig(PretrainedConfig):
    """Nothing to choose."""

    model_type = "alignlab_table"

    def __init__(self, **options: Any) -> None:
        none: dict[str, Any] = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
        super().__init__(**none, **options)
        self.vocab_size, self.max_position_embeddings = exact.VOCABULARY, 1 + exact.LENGTH


class TableModel(PreTrainedModel):
    """Next-token logits by prompt and context; it starts as the reference."""

    config_class = TableConfig

    def __init__(self, config: TableConfig | None = None) -> None:
        super().__init__(config or TableConfig())
        self.table = nn.Parameter(exact.reference_logits())
        self.ids = nn.Embedding(exact.PROMPTS, 1).requires_grad_(False)  # says how many token ids there are

    def get_input_embeddings(self) -> nn.Module:
        """A placeholder of the right number of ids."""
        return self.ids

    def get_output_embeddings(self) -> None:
        """There is no head."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Ids | None = None,
        use_cache: bool = False,
    ) -> SimpleNamespace:
        """Logits after every token given, (B, T, 6); those after the last of a completion mean nothing."""
        seen = Ids(input_ids) if past_key_values is None else past_key_values.extended(input_ids)
        prompt, places = seen.ids[:, :1], contexts(seen.ids)
        logits = self.table[prompt, places][:, -input_ids.shape[1] :]
        return SimpleNamespace(logits=logits, past_key_values=seen if use_cache else None)


class Ids(Cache):
    """All tokens so far, which is all that a table needs to remember."""

    def __init__(self, ids: Tensor) -> None:
        self.ids = ids

    def extended(self, ids: Tensor) -> Ids:
        """With the next tokens, (B, T)."""
        return Ids(torch.cat([self.ids, ids], 1))

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keep these rows, in this order."""
        self.ids = self.ids[beam_idx]


class TableValue(nn.Module):
    """A value for each prompt and context, 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(exact.PROMPTS, exact.CONTEXTS, dtype=torch.float64))

    def state_values(self, sequences: Sequences) -> Tensor:
        """V of the state each completion token was chosen in: (B, 4), 0 on the prompt."""
        ids = sequences.ids
        values = self.table[ids[:, :1], contexts(ids)[:, :-1]]
        return torch.cat([torch.zeros_like(values[:, :1]), values], 1)


class ExactReward:
    """The reward itself as a scorer."""

    def __init__(self, reward: Tensor) -> None:
        self.reward = reward

    def score(self, rollouts: Rollouts, prompts: Any) -> Tensor:
        """r(x, y), (B,)."""
        ids = rollouts.sequences.ids
        return self.reward[ids[:, 0], numbers(ids)]


def contexts(ids: Tensor) -> Tensor:
    """Context that follows each token of rows [x, y0, y1, y2] or their beginnings, (B, T); the last counts for nothing.

    0 after x, 1 + y0 after y0, 7 + 6 y0 + y1 after y1.
    """
    columns = [torch.zeros_like(ids[:, 0])]
    if ids.shape[1] > 1:
        columns.append(1 + ids[:, 1])
    if ids.shape[1] > 2:
        columns.append(1 + exact.VOCABULARY * (1 + ids[:, 1]) + ids[:, 2])
    columns += [columns[0]] * (ids.shape[1] - 3)
    return torch.stack(columns, 1)


def numbers(ids: Tensor) -> Tensor:
    """Number of the completion of each row [x, y0, y1, y2] in lexicographic order, (B,)."""
    powers = torch.tensor([exact.VOCABULARY**k for k in reversed(range(exact.LENGTH))])
    return (ids[:, 1:] * powers).sum(-1)


def rows(prompts: Tensor, completions: Tensor) -> Sequences:
    """Rows of numbered prompts and completions: (B,), (B,) -> (B, 4)."""
    ids = torch.cat([prompts[:, None], exact.completions()[completions]], 1)
    everywhere = torch.ones_like(ids, dtype=torch.bool)
    completion = everywhere.clone()
    completion[:, 0] = False
    return Sequences(ids, everywhere, completion)
