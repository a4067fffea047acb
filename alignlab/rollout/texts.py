"""Completions as text, for people and for judges that read text. Never encoded again."""

from __future__ import annotations

from typing import Any

from alignlab.rollout.batch import Rollouts


def texts_of(rollouts: Rollouts, tokenizer: Any) -> list[str]:
    """Decoded completions without their end token and other special tokens."""
    return [
        text.strip()
        for text in tokenizer.batch_decode(
            rollouts.completions(), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
    ]
