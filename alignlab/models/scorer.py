"""A language model copy with a value head: reward model when read at the last token, value model at every token.

Stored as an ordinary `AutoModelForSequenceClassification` with one label. The shift that puts the mean score of
SFT samples at 0 is `config.score_shift`; preferences do not depend on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from alignlab.data.batch import Sequences
from alignlab.errors import ModelError
from alignlab.models.load import settled
from alignlab.models.trunk import Trunk
from alignlab.numerics.logps import upcast
from alignlab.numerics.masked import last_index
from alignlab.work import plays


class Scorer(nn.Module):
    """Wraps a sequence classifier with one label, which stays available as `.model`."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.head = _find_head(model)
        self.trunk = Trunk(model)
        plays(model, "reward")

    @property
    def apart(self) -> str:
        """Why completions of one prompt run with a copy of it each; '' where they share it."""
        return self.trunk.apart

    @property
    def shift(self) -> float:
        """Subtracted from every score, so that SFT samples average 0."""
        return float(getattr(self.model.config, "score_shift", 0.0))

    @property
    def scale(self) -> float:
        """Scores are divided by this; 1 unless scaling was asked for."""
        return float(getattr(self.model.config, "score_scale", 1.0))

    def calibrate(self, shift: float, scale: float = 1.0) -> None:
        """Record the affine map from head output to score."""
        self.model.config.score_shift, self.model.config.score_scale = float(shift), float(scale)

    def forward(self, sequences: Sequences) -> Tensor:
        """Score of each row, read at its last completion token, shifted and scaled: (B,)."""
        last = torch.zeros_like(sequences.completion).scatter_(-1, last_index(sequences.completion)[:, None], True)
        return (self._values(sequences, last)[last] - self.shift) / self.scale

    def state_values(self, sequences: Sequences) -> Tensor:
        """V of the state each completion token was chosen in, (B, T): entry t has seen tokens before t."""
        reply = sequences.completion
        values = self._values(sequences, nn.functional.pad(reply[:, 1:], (0, 1))) - self.shift
        before = torch.cat([torch.zeros_like(values[:, :1]), values[:, :-1]], -1)
        return before / self.scale * reply

    def _values(self, sequences: Sequences, where: Tensor) -> Tensor:
        """Head output after the tokens at `where`, a (B, T) bool mask, and 0 elsewhere: (B, T).

        The head computes in at least float32, or half precision would round different scores to ties.
        """
        sequences.check_right_padded()
        hidden = self.trunk.read(sequences, where, sequences.attention)
        bias = None if self.head.bias is None else upcast(self.head.bias)
        with torch.autocast(hidden.device.type, enabled=False):
            values = nn.functional.linear(upcast(hidden), upcast(self.head.weight), bias).squeeze(-1)
        return values.new_zeros(where.shape).masked_scatter(where, values)

    def save(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Write a directory that AutoModelForSequenceClassification and AutoTokenizer load."""
        self.model.save_pretrained(folder, safe_serialization=True)
        tokenizer.save_pretrained(folder)


def new_scorer(folder: Path, seed: int, *, pad_id: int, **options: Any) -> Scorer:
    """A copy of the language model in `folder` with a fresh head, N(0, 1 / (d + 1)) (arXiv 2403.17031, §4).

    The same seed gives the same head whatever was drawn before.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scorer = _classifier(folder, pad_token_id=pad_id, **options)
        head = scorer.head
        nn.init.normal_(head.weight, std=(head.in_features + 1) ** -0.5)
        if head.bias is not None:
            nn.init.zeros_(head.bias)
    scorer.calibrate(0.0)
    return scorer


def stored_scorer(folder: Path, **options: Any) -> Scorer:
    """A trained scorer from a directory; `options` as for `from_pretrained`."""
    return _classifier(folder, **options)


def _classifier(folder: Path, **options: Any) -> Scorer:
    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=1, local_files_only=True, use_safetensors=True, **options
        )
    except (ValueError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{folder} cannot become a reward model: {first}",
            "the architecture needs a sequence-classification form in transformers",
        ) from error
    return Scorer(settled(model))


def _find_head(model: PreTrainedModel) -> nn.Linear:
    for name in ("score", "classifier"):
        head = getattr(model, name, None)
        if isinstance(head, nn.Linear) and head.out_features == 1:
            return head
    raise ModelError(
        f"{type(model).__name__} has no linear head with one output", "use a causal model such as Llama or GPT-2"
    )
