"""The base model of a run: where it comes from, its tokenizer, how long a row may be, what ends a completion."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from alignlab.config import RunConfig
from alignlab.data.encode import end_ids
from alignlab.data.tokens import Limits
from alignlab.errors import ConfigError
from alignlab.models.config import TinyModel
from alignlab.models.load import check_location, new_model, pretrained, pretrained_tokenizer, stored
from alignlab.models.policy import Policy
from alignlab.models.scorer import Scorer, new_scorer, stored_scorer
from alignlab.models.trunk import max_positions
from alignlab.stages.files import sha256_file
from alignlab.stages.fingerprint import source_hashes

READ = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.tiktoken", "*.py")
"""Files of a model directory that decide what is loaded."""
_TOKENIZER = tuple(pattern for pattern in READ if pattern != "*.safetensors")


class Base:
    """The untrained model and its tokenizer."""

    def __init__(self, settings: RunConfig, source: Any) -> None:
        self.settings, self.source, self.config = settings, source, settings.model

    @cached_property
    def tokenizer(self) -> Any:
        """The source's own vocabulary for a fresh model, else the model's tokenizer."""
        if not isinstance(self.config, TinyModel):
            return pretrained_tokenizer(self.config)
        own = self.source.tokenizer()
        if own is None:
            raise ConfigError(
                f"model=tiny has no vocabulary of its own, and data={self.settings.data.source} brings none",
                "pass model=hf model.path=‹directory or hub id›",
            )
        return own

    @cached_property
    def _model(self) -> PreTrainedModel:
        if isinstance(self.config, TinyModel):
            return new_model(self.config, self.tokenizer, self.settings.stage_seeds.of("init", "base"))
        return pretrained(self.config)

    def fresh(self) -> Policy:
        """A new copy of the weights the run starts from, for training."""
        return Policy(copy.deepcopy(self._model))

    @property
    def options(self) -> dict[str, Any]:
        """How transformers loads what stages have saved."""
        if isinstance(self.config, TinyModel):
            return {}
        return {
            "trust_remote_code": self.config.trust_remote_code,
            "attn_implementation": self.config.attention,
        }

    def stored_policy(self, folder: Path) -> Policy:
        """A policy that a stage has saved."""
        return Policy(stored(folder, **self.options))

    def stored_scorer(self, folder: Path) -> Scorer:
        """A scorer that a stage has saved."""
        return stored_scorer(folder, **self.options)

    def new_scorer(self, folder: Path, seed: int) -> Scorer:
        """A copy of a saved policy with a fresh value head."""
        return new_scorer(folder, seed, pad_id=self.pad_id, **self.options)

    def check(self) -> None:
        """Fail on an unusable model directory before anything is read."""
        if not isinstance(self.config, TinyModel):
            check_location(self.config.path)

    @cached_property
    def address(self) -> dict[str, Any]:
        """What identifies the base model in a stage key: its content, never its path."""
        if isinstance(self.config, TinyModel):
            seeds = self.settings.stage_seeds.key("init")
            return {"tiny": self.config, "seeds": seeds, "vocabulary": _vocabulary(self.tokenizer)}
        load = self.loading
        if not check_location(self.config.path):
            commit = getattr(self._model.config, "_commit_hash", None) or self.config.revision
            return {"hub": self.config.path, "commit": commit, **load}
        return {"files": _hash_folder(Path(self.config.path).expanduser()), **load}

    @cached_property
    def vocabulary(self) -> dict[str, Any]:
        """What identifies the tokenizer in a stage key, whatever the weights."""
        if isinstance(self.config, TinyModel):
            return {"vocabulary": _vocabulary(self.tokenizer), "code": source_hashes(type(self.source))}
        if not check_location(self.config.path):
            return {name: self.address[name] for name in ("hub", "commit")}
        return {"files": _hash_folder(Path(self.config.path).expanduser(), _TOKENIZER)}

    @property
    def loading(self) -> dict[str, Any]:
        """How weights are held in memory, where that changes numbers."""
        if isinstance(self.config, TinyModel):
            return {"dtype": "float32", "attention": "sdpa"}
        return {"dtype": self.config.dtype, "attention": self.config.attention}

    @cached_property
    def positions(self) -> int:
        """Longest sequence in tokens."""
        return self.config.max_positions if isinstance(self.config, TinyModel) else max_positions(self._model)

    def limits(self, *, prompts: bool = False) -> Limits:
        """Row lengths: what the data settings say, within what the model can read.

        Prompts leave room for `rollout.max_new_tokens`.
        """
        data, new = self.settings.data, self.settings.rollout.max_new_tokens
        longest = min(getattr(data, "max_length", None) or self.positions, self.positions)
        if new >= longest:
            raise ConfigError(
                f"rollout.max_new_tokens={new} leaves no room for a prompt in {longest} positions",
                f"pass rollout.max_new_tokens={max(1, longest // 4)}",
            )
        completion = getattr(data, "max_completion", None)
        return Limits(
            max_length=longest,
            max_prompt=getattr(data, "max_prompt", None),
            max_completion=max(new, completion or 0) if prompts else completion,
            min_prompt=2 if self.source.tokenizer() is not None else Limits(longest).min_prompt,
        )

    @property
    def template(self) -> str:
        """How chats become text."""
        return getattr(self.settings.data, "template", "auto")

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Tokens that end a completion. A fresh model has only the tokenizer's own."""
        generation = None if isinstance(self.config, TinyModel) else self._model.generation_config
        return end_ids(self.tokenizer, generation, self.template)

    @property
    def pad_id(self) -> int:
        """Fills unused cells, which no mask selects; any id serves."""
        pad = self.tokenizer.pad_token_id
        return 0 if pad is None else int(pad)


def _vocabulary(tokenizer: Any) -> str:
    words = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return hashlib.sha256(repr((words, tokenizer.chat_template)).encode()).hexdigest()


def _hash_folder(folder: Path, patterns: Sequence[str] = READ) -> str:
    names = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    lines = [f"{path.name} {sha256_file(path)}" for path in names]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
