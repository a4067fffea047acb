"""A reward model from a directory, whoever trained it.

A directory with the run's vocabulary scores token ids as they were sampled. Any other gets the decoded reply, encoded
by its own tokenizer under its own chat template, with no end token where the reply has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from alignlab.data.batch import Sequences, over_rows, pad
from alignlab.data.encode import Encoder
from alignlab.data.schema import Completion, Prompt
from alignlab.errors import ModelError
from alignlab.models.frozen import Frozen
from alignlab.models.load import settled
from alignlab.models.scorer import Scorer
from alignlab.models.trunk import max_positions
from alignlab.numerics.logps import upcast
from alignlab.rewards import folder
from alignlab.rewards.kinds import DirectoryConfig
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.texts import texts_of
from alignlab.work import passed, plays


class Classifier(nn.Module):
    """A sequence classifier of transformers, read where its own architecture reads it."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        plays(model, "reward")

    def forward(self, sequences: Sequences) -> Tensor:
        """Score of each row: (B,). Decoders find the last token of a row by their own pad token."""
        passed(self.model, sequences.attention)
        own = self.model.config.get_text_config().pad_token_id
        ids = sequences.ids.masked_fill(~sequences.attention, 0 if own is None else own)
        logits: Tensor = self.model(input_ids=ids, attention_mask=sequences.attention.long()).logits
        return upcast(logits)[:, 0]


class DirectoryReward(nn.Module):
    """Scores of a stored classifier with one label, on the scale it was trained to. `notes` say what was decided."""

    def __init__(self, config: DirectoryConfig, *, tokenizer: Any, **given: Any) -> None:
        super().__init__()
        folder.check(config.path)
        self.path, self.tokenizer = config.path, tokenizer
        own, model = _loaded(AutoTokenizer, config.path), _model(config.path)
        self.positions = max_positions(model)
        # Scorers that alignlab has written are read at the last token even where that is the pad token.
        written_here = hasattr(model.config, "score_shift")
        self.scorer: Any = Frozen(Scorer(model) if written_here else Classifier(model))
        # Without a pad token a decoder would read the last column, so rows then go one by one.
        self.rows = 0 if written_here or model.config.get_text_config().pad_token_id is not None else 1
        self.encoder = None if own.get_vocab() == tokenizer.get_vocab() else Encoder(own)
        self.notes = self._notes(own)

    def _notes(self, own: Any) -> tuple[str, ...]:
        name = f"reward.path={self.path}"
        if self.encoder is None:
            other = own.chat_template != self.tokenizer.chat_template
            under = ", under the policy's chat template, which is not its own" if other else ""
            return (f"{name} has the policy's vocabulary: token ids are scored as sampled{under}",)
        template = "its own chat template" if own.chat_template else "plain turns, for it has no chat template"
        return (f"{name} has another vocabulary: replies are decoded, and encoded again with {template}",)

    def score(self, rollouts: Rollouts, prompts: Sequence[Prompt]) -> Tensor:
        """Score of each completion: (B,)."""
        sequences = rollouts.sequences if self.encoder is None else self._encoded(self.encoder, rollouts, prompts)
        longest = int(sequences.attention.sum(-1).max())
        if longest > self.positions:
            raise ModelError(
                f"reward.path={self.path!r} reads {self.positions} tokens, and a prompt with its reply has {longest}",
                "pass a smaller rollout.max_new_tokens or data.max_length",
            )
        device = next(self.scorer.model.parameters()).device
        return over_rows(sequences.to(device), self.scorer, self.rows).to(rollouts.logps.device)

    def _encoded(self, encoder: Encoder, rollouts: Rollouts, prompts: Sequence[Prompt]) -> Sequences:
        """Prompts and decoded replies in the tokens of the directory's own tokenizer."""
        rows: list[tuple[list[int], list[int]]] = []
        for prompt, text, ended in zip(
            prompts, texts_of(rollouts, self.tokenizer), rollouts.ended.tolist(), strict=True
        ):
            start, reply = encoder.prompt(prompt), encoder.answer(prompt, Completion(text))
            rows.append(([], [*start, *(reply if ended else reply[:-1])]))  # read at the last token, whichever it is
        return pad(rows, encoder.tokenizer.pad_token_id)


def _model(path: str) -> PreTrainedModel:
    options = dict(use_safetensors=True, dtype=torch.float32)
    model: PreTrainedModel = _loaded(AutoModelForSequenceClassification, path, **options)
    return settled(model)


def _loaded(loader: Any, path: str, **options: Any) -> Any:
    """A model or tokenizer from the directory alone: no network, no code that comes with it."""
    try:
        return loader.from_pretrained(
            Path(path).expanduser(), local_files_only=True, trust_remote_code=False, **options
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelError(
            f"reward.path={path!r} could not be loaded: {first}",
            "pass a complete directory of an architecture that comes with transformers",
        ) from error
