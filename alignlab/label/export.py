"""Labels as pairs that `data=files` reads: prompt, chosen, rejected, and the probability that chosen is preferred.

Everything said about two completions, by repeats and other annotators too, becomes one row with the mean of it. A
ranking becomes all of its pairs. Torch-free.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from alignlab.data.config import FilesConfig
from alignlab.data.schema import Prompt, Split
from alignlab.data.sources import files_source
from alignlab.errors import DataError
from alignlab.label.store import Judgement
from alignlab.label.summary import duels
from alignlab.stages.files import atomic_write_text

_Key = tuple[str, str, str]


def pairs(labels: Sequence[Judgement]) -> list[dict[str, Any]]:
    """Rows of the shape `pairs`, in the order of first mention.

    `probability` is the mean over judgements, a tie as 0.5, so that it lies in [0.5, 1]; `judgements` counts them.
    Completions that are empty or the same, from which nothing can be learnt, are left out.
    """
    prompts: dict[str, Prompt] = {}
    said: dict[_Key, list[float]] = {}
    for label in labels:
        texts = [completion.text for completion in label.completions]
        for i, j, won in duels(label):
            if not texts[i].strip() or not texts[j].strip() or texts[i].strip() == texts[j].strip():
                continue
            swapped = (label.prompt.id, texts[j], texts[i]) in said
            a, b, value = (j, i, 1 - won) if swapped else (i, j, won)
            prompts[label.prompt.id] = label.prompt
            said.setdefault((label.prompt.id, texts[a], texts[b]), []).append(value)
    return [_row(prompts[id], first, second, values) for (id, first, second), values in said.items()]


def _row(prompt: Prompt, first: str, second: str, values: Sequence[float]) -> dict[str, Any]:
    mean = fmean(values)
    chosen, rejected, probability = (first, second, mean) if mean >= 0.5 else (second, first, 1 - mean)
    turns = [{"role": role, "content": content} for role, content in prompt.messages]
    return {
        "prompt": turns or prompt.text,
        "chosen": chosen,
        "rejected": rejected,
        "probability": round(probability, 6),
        "judgements": len(values),
        **({"kind": prompt.kind} if prompt.kind else {}),
    }


def export(labels: Sequence[Judgement], path: Path) -> int:
    """Write the pairs as JSON lines in one atomic move; returns how many. DataError when there is none."""
    rows = pairs(labels)
    if not rows:
        raise DataError("no label says anything about two different completions", "label some first")
    atomic_write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    return len(rows)


def places(path: Path) -> dict[Split, int]:
    """How many exported pairs `data=files` puts into each split by default. DataError for too few prompts.

    Pairs on the evaluation prompts of stored data stay evaluation prompts: whoever trains on them must say so.
    """
    return files_source(FilesConfig(path=str(path))).sizes
