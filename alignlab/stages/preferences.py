"""The preferences stage: pairs of two samples of the SFT policy, labelled by the source's annotator.

Sources with stored pairs skip the sampling. Identical completions carry no preference; they are dropped and counted.
Where the annotator judges harm too, pairs carry safety labels, which only cost models read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from alignlab.data.rows import write_pairs
from alignlab.data.schema import Completion, Pair, Prompt, Safety, Split
from alignlab.data.tokens import Limits, tokenise
from alignlab.errors import DataError
from alignlab.method import Data
from alignlab.numerics.noise import Noise
from alignlab.rollout.texts import texts_of
from alignlab.seeding import Seeds
from alignlab.tracking.progress import track

PARTS = (Split.TRAIN, Split.HELD_OUT)


def sample_completions(
    engine: Any, prompts: Sequence[list[int]], rows: Sequence[int], seed: int, tokenizer: Any, batch: int, label: str
) -> list[tuple[Completion, bool]]:
    """One completion a prompt with its token ids, and whether it ended. Row numbers decide the noise."""
    done: list[tuple[Completion, bool]] = []
    for start in track(range(0, len(prompts), batch), label):
        part = slice(start, start + batch)
        rollouts = engine.sample(prompts[part], Noise(seed, torch.tensor(rows[part])))
        ids, texts = rollouts.completions(), texts_of(rollouts, tokenizer)
        done += [
            (Completion(text, tuple(tokens)), bool(end))
            for text, tokens, end in zip(texts, ids, rollouts.ended.tolist(), strict=True)
        ]
    return done


def native(source: Any, out: Path) -> dict[str, Any]:
    """Write the pairs a source has; returns counts."""
    counts = {split.value: write_pairs(out / f"{split.value}.jsonl", source.pairs(split)) for split in PARTS}
    return {"pairs": counts, "labels": sum(counts.values()), "origin": "stored"}


def sampled(
    source: Any,
    engine: Any,
    tokenizer: Any,
    seeds: Seeds,
    out: Path,
    *,
    limits: Limits,
    template: str,
    batch: int,
) -> dict[str, Any]:
    """Sample two completions for every label prompt, have them judged, write the pairs; returns counts."""
    counts: dict[str, int] = {}
    dropped: dict[str, int] = {}
    for split in PARTS:
        prompts = source.prompts(split, seeds)
        pairs = _label(source, engine, tokenizer, seeds, prompts, split, limits, template, batch)
        counts[split.value] = write_pairs(out / f"{split.value}.jsonl", pairs)
        dropped[split.value] = len(prompts) - counts[split.value]
        if not pairs:
            raise DataError(
                f"no preference pair is left of {len(prompts)} {split.value} prompts: the SFT policy gives the same "
                f"completion twice",
                "train SFT less, or on more varied demonstrations",
            )
    return {
        "pairs": counts,
        "identical": dropped,
        "labels": sum(counts.values()),
        "origin": "sampled from SFT, labelled by the source's annotator",
    }


def _label(
    source: Any,
    engine: Any,
    tokenizer: Any,
    seeds: Seeds,
    prompts: Sequence[Prompt],
    split: Split,
    limits: Limits,
    template: str,
    batch: int,
) -> list[Pair]:
    tokens, _ = tokenise(Data.PROMPTS, prompts, tokenizer, limits, template)
    ids = [row.prompt.tolist() for row in tokens for _ in range(2)]
    rows = [2 * row.row + side for row in tokens for side in range(2)]
    seed = seeds.of("labels", split.value)
    done = sample_completions(
        engine, ids, rows, seed, tokenizer, batch, f"preferences, {split.value.replace('_', '-')}"
    )
    pairs = []
    for place, row in enumerate(tokens):
        (first, first_ended), (second, second_ended) = done[2 * place], done[2 * place + 1]
        if first.ids == second.ids:
            continue
        number = row.row + (0 if split is Split.TRAIN else 1 << 32)
        judged = (row.source, first.text, second.text, seeds, number, (first_ended, second_ended))
        safety = source.safety(*judged) if hasattr(source, "safety") else None
        pairs.append(_pair(row.source, first, second, source.prefer(*judged), safety))
    return pairs


def _pair(
    prompt: Prompt, first: Completion, second: Completion, probability: float, safety: Safety | None = None
) -> Pair:
    """Order by preference; a soft label keeps its probability."""
    chosen, rejected = (first, second) if probability >= 0.5 else (second, first)
    if safety is not None and chosen is second:
        safety = safety.swapped
    certain = probability in (0.0, 1.0)
    stated = None if certain else max(probability, 1 - probability)
    return Pair(prompt, chosen, rejected, probability=stated, safety=safety)
