"""Completions as text, for people and for judges that read text. Never encoded again."""

from __future__ import annotations

from typing import Any

from alignlab.rollout.batch import Rollouts


def texts_of(rollouts: Rollouts, tokenizer: Any) -> list[str]:
    """Decoded completions without the end token. Other special tokens stay: a policy must not hide behind them."""
    rows = zip(rollouts.completions(), rollouts.ended.tolist(), strict=True)
    ids = [reply[:-1] if ended else reply for reply, ended in rows]
    texts = tokenizer.batch_decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return [text.strip() for text in texts]
