"""Words a model has never seen: which they are, and which it knows that look like them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

NEAR = 3
"""Words offered in place of an unknown one."""
CUTOFF = 0.6


def unknown(text: str, tokenizer: Any) -> list[str]:
    """Words of a text that the tokenizer has no token for, in order, without repeats."""
    missing = tokenizer.unk_token_id
    if missing is None:
        return []
    found = {
        word: None
        for word in text.split()
        if missing in tokenizer(word, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    }
    return list(found)


def near(word: str, tokenizer: Any) -> list[str]:
    """Known words that look like it, the nearest first."""
    known = [each for each in tokenizer.get_vocab() if each not in tokenizer.all_special_tokens]
    bare = "".join(letter for letter in word.lower() if letter.isalnum() or letter == "-")
    return [bare] if bare in known else difflib.get_close_matches(bare, known, n=NEAR, cutoff=CUTOFF)


def advice(text: str, tokenizer: Any, examples: Sequence[str]) -> list[str]:
    """Lines that name each unknown word, offer others, and show requests that work; none when all are known."""
    words = unknown(text, tokenizer)
    lines = []
    for word in words:
        instead = near(word, tokenizer)
        lines.append(
            f"the model does not know the word {word!r}" + (f"; near: {', '.join(instead)}" if instead else "")
        )
    if words and examples:
        lines += ["requests it can read:", *(f"  {example}" for example in examples)]
    return lines
