"""What every contender is given: a folder with a model, a scorer, a tokenizer, and pairs as ids and as words.

Ids are drawn at random and lie above those of the special tokens. Words are the ids' names, for trainers that
insist on text; that both give the same tokens is seen by equal losses.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contest.shapes import Shape

PAD, END, FIRST = 0, 1, 2
LR, BETA, BETA_ONLINE, CLIP = 1e-4, 0.1, 0.04, 1.0
BETAS = (0.9, 0.95)
"""AdamW's, for every contender."""


@dataclass(frozen=True)
class Pair:
    """One prompt with two completions; no end token yet."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def both(self) -> tuple[list[int], list[int]]:
        """Both completions with their end token."""
        return [*self.chosen, END], [*self.rejected, END]


def drawn(shape: Shape, seed: int = 0) -> list[Pair]:
    """The pairs of one step; every step takes the same ones, so that every round is the same work for all."""
    draw = random.Random(seed)

    def ids(low: int, high: int) -> list[int]:
        return [draw.randrange(FIRST, shape.vocabulary) for _ in range(draw.randint(low, high))]

    low, high = shape.completion
    sizes = (shape.prompt, (low - 1, high - 1), (low - 1, high - 1))
    return [Pair(*(ids(*size) for size in sizes)) for _ in range(shape.pairs)]


def spelled(ids: list[int]) -> str:
    """The words of ids."""
    return " ".join(f"w{index}" for index in ids)


def tokens(shape: Shape, task: str, pairs: list[Pair]) -> int:
    """Tokens that one step learns from: prompt and completion of each row, no padding."""
    if task in ("grpo", "rloo"):
        prompts = sum(len(pair.prompt) for pair in pairs[: shape.completions // 4])
        return 4 * prompts + shape.completions * shape.completion[1]
    if task == "sft":
        return sum(len(pair.prompt) + len(pair.both[0]) for pair in pairs)
    return sum(2 * len(pair.prompt) + sum(map(len, pair.both)) for pair in pairs)


def write(shape: Shape, folder: Path) -> None:
    """Make the material of a shape; the same shape gives the same material."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(0)
    config = dict(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    policy = LlamaForCausalLM(LlamaConfig(**config))
    scorer = LlamaForSequenceClassification(LlamaConfig(**config, num_labels=1))
    scorer.model.load_state_dict(policy.model.state_dict())
    words = tokenizer(shape.vocabulary)
    for name, model in {"policy": policy, "scorer": scorer}.items():
        model.save_pretrained(folder / name)
        words.save_pretrained(folder / name)
    rows = [vars(pair) for pair in drawn(shape)]
    (folder / "pairs.json").write_text(json.dumps(rows), encoding="utf-8")


def read(folder: Path) -> list[Pair]:
    """The pairs of one step."""
    return [Pair(**row) for row in json.loads((folder / "pairs.json").read_text(encoding="utf-8"))]


def tokenizer(vocabulary: int) -> Any:
    """One word an id."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = {"<pad>": PAD, "<end>": END} | {f"w{index}": index for index in range(FIRST, vocabulary)}
    words = Tokenizer(models.WordLevel(names, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>")
