"""A second tokenizer, stored reward models, rollouts from text, and a graph that only knows what rewards ask it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from alignlab.data.batch import pad
from alignlab.data.encode import Encoder
from alignlab.data.schema import Completion, Message, Prompt
from alignlab.rollout.batch import Rollouts
from alignlab.worlds.desk.tokenizer import build

DESK = build("small")
TURNS = (
    "{% for m in messages %}{{ '<|user|>' if m['role'] == 'user' else '<|bot|>' }}{{ m['content'] }}"
    "{{ '<|end|>' if m['role'] != 'user' else '' }}{% endfor %}{% if add_generation_prompt %}{{ '<|bot|>' }}{% endif %}"
)
PROMPTS = [
    Prompt(id=str(at), messages=(Message("user", text),)) for at, text in enumerate(("can you", "what", "do i need"))
]
REPLIES = ["salt and waves", "red", "i need songs can you"]


def letters(template: str | None = TURNS, pad_token: str | None = "<|pad|>") -> PreTrainedTokenizerFast:
    """One token a byte."""
    special = ["<|end|>", "<|pad|>", "<|user|>", "<|bot|>"]
    alphabet = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *special]
    core = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|end|>", pad_token=pad_token, additional_special_tokens=special[2:]
    )
    made.chat_template = template
    return made


def classifier(kind: str, vocabulary: int, pad_id: int | None, labels: int = 1) -> Any:
    """A random sequence classifier whose scores of different rows differ."""
    torch.manual_seed(0)
    shared = dict(vocab_size=vocabulary, num_labels=labels, pad_token_id=pad_id, initializer_range=0.5)
    ends = dict(bos_token_id=None, eos_token_id=None)
    if kind == "gpt2":
        return GPT2ForSequenceClassification(
            GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=96, **shared, **ends)
        )
    sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    if kind == "bert":
        return BertForSequenceClassification(BertConfig(max_position_embeddings=96, **sizes, **shared))
    return LlamaForSequenceClassification(LlamaConfig(num_key_value_heads=1, **sizes, **shared, **ends))


def stored(folder: Path, model: Any, tokenizer: Any = None) -> str:
    """A directory with the model and, if it has one, its tokenizer."""
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return str(folder)


def rollouts(ended: Sequence[bool] = (True, True, True), replies: Sequence[str] = tuple(REPLIES)) -> Rollouts:
    """Replies of the desk world as a policy would have sampled them."""
    encoder, rows = Encoder(DESK), []
    for prompt, text, end in zip(PROMPTS, replies, ended, strict=True):
        ids = encoder.answer(prompt, Completion(text))
        rows.append((encoder.prompt(prompt), ids if end else ids[:-1]))
    sequences = pad(rows, DESK.pad_token_id)
    return Rollouts(sequences, torch.zeros(sequences.ids.shape), torch.tensor(ended))


class Stages:
    """What `stages.rewards` asks of the graph."""

    def __init__(self, reward: Any, scorers: Sequence[Any] = (), source: Any = None, tokenizer: Any = DESK) -> None:
        self.settings = SimpleNamespace(reward=reward)
        self.base = SimpleNamespace(tokenizer=tokenizer)
        self.source, self.scorers = source, scorers
        self.said: list[str] = []
        self.announce = self.said.append
        self.loaded: list[int] = []

    def reward(self, *, member: int) -> Any:
        return SimpleNamespace(content=f"weights of member {member}", member=member)

    def scorer(self, artefact: Any) -> Any:
        self.loaded.append(artefact.member)
        return self.scorers[artefact.member]

    def source_address(self) -> dict[str, str]:
        return {"rows": "rows of the source"}
