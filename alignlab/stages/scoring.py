"""After a scorer is trained: where its zero lies, how far it can be trusted; and choosing policies by it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alignlab.data.batch import over_rows, pad
from alignlab.data.schema import Pair, Split
from alignlab.errors import TrainingError
from alignlab.models.scorer import Scorer
from alignlab.numerics.noise import Noise
from alignlab.rewards.config import RewardConfig
from alignlab.stages.protocol import Stages
from alignlab.tracking.console import say, warn
from alignlab.work import uncounted

SAMPLES = 512
"""SFT samples whose mean score becomes 0."""
ROWS = 256
BINS = 10


@torch.no_grad()
def calibrate_and_check(graph: Stages, scorer: Scorer, part: Split, config: RewardConfig) -> dict[str, Any]:
    """Put the mean score of SFT samples at 0, and measure the scorer on labels it was not trained on.

    Returns health figures: pair accuracy, calibration error, agreement with gold where that is known.
    """
    scores = _sft_scores(graph, scorer)
    spread = float(scores.std()) if config.scale else 1.0
    scorer.calibrate(float(scores.mean()), spread)
    other = Split.HELD_OUT if part is Split.TRAIN else Split.TRAIN
    rows = graph.pair_rows(other)[:2000]
    with uncounted():  # what only measures is no work of the scorer
        chosen, rejected = side_scores(scorer, rows, ("chosen", "rejected"), graph.base.pad_id).unbind(-1)
    difference = chosen - rejected
    pairs = graph.stored_pairs(other)
    figures = {
        "accuracy": float(_hits(difference).mean()),
        "calibration_error": calibration_error(difference, [row.probability for row in rows]),
        "pairs": len(rows),
        "sft_mean": float(scores.mean()),
        "sft_std": float(scores.std()),
        **_gold_agreement(graph, difference, [pairs[row.row] for row in rows]),
    }
    shown = f"pair accuracy {figures['accuracy']:.2f} on {len(rows):,} unseen labels"
    if "gold_accuracy" in figures:
        shown += f", {figures['gold_accuracy']:.2f} against gold"
    say(f"  {shown}, calibration error {figures['calibration_error']:.3f}")
    if figures["accuracy"] < config.pairs_check:
        warn(
            f"the reward model orders only {figures['accuracy']:.0%} of unseen pairs: methods trained on it chase noise"
        )
    return {"health": figures}


@torch.no_grad()
def _sft_scores(graph: Stages, scorer: Scorer) -> Tensor:
    seeds = graph.settings.stage_seeds
    rows = graph.prompt_rows(Split.TRAIN, seeds)[:SAMPLES]
    noise = Noise(seeds.of("labels", "calibration"), torch.arange(len(rows)))
    rollouts = graph.engine(graph.policy(graph.sft)).sample([row.prompt.tolist() for row in rows], noise)
    device = next(scorer.parameters()).device
    return over_rows(rollouts.sequences.to(device), scorer).cpu()


def side_scores(scorer: Scorer, rows: Sequence[Any], sides: tuple[str, str], pad_id: int) -> Tensor:
    """Scores of the two completions of each tokenised row, by the names of their fields: (B, 2)."""
    device = next(scorer.parameters()).device

    def score(part: Sequence[Any], side: str) -> Tensor:
        return over_rows(pad([(row.prompt, getattr(row, side)) for row in part], pad_id).to(device), scorer).cpu()

    parts = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
    return torch.cat([torch.stack([score(part, side) for side in sides], -1) for part in parts])


def _hits(difference: Tensor) -> Tensor:
    return (difference > 0).float() + 0.5 * (difference == 0).float()


def calibration_error(difference: Tensor, probability: list[float | None]) -> float:
    """Mean gap between stated and observed preference over bins of equal width (expected calibration error).

    Differences are folded, so that the stated probability is that of the preferred side, in [0.5, 1].
    """
    observed = torch.tensor([1.0 if p is None else p for p in probability])
    flip = difference < 0
    stated = difference.abs().sigmoid()
    observed = torch.where(flip, 1 - observed, observed)
    bins = ((stated - 0.5) * 2 * BINS).long().clamp(0, BINS - 1)
    gap = torch.zeros(BINS).index_add(0, bins, stated - observed)
    return float(gap.abs().sum() / len(stated))


def _gold_agreement(graph: Stages, difference: Tensor, pairs: list[Pair]) -> dict[str, float]:
    """Share of pairs that the scorer orders as gold does; pairs equal in gold do not count."""
    ends = set(graph.base.end_ids)
    hits = []
    for gap, pair in zip(difference.tolist(), pairs, strict=True):
        golds = [
            graph.source.gold(pair.prompt, side.text, side.ids is None or side.ids[-1] in ends)
            for side in (pair.chosen, pair.rejected)
        ]
        if golds[0] is not None and golds[0] != golds[1]:
            hits.append(float((gap > 0) == (golds[0] > golds[1])))
    return {"gold_accuracy": sum(hits) / len(hits)} if hits else {}


@torch.no_grad()
def select_snapshot(graph: Stages, snapshots: Path, out: Path) -> dict[str, Any]:
    """Keep the snapshot that the held-out reward model scores highest on validation prompts."""
    scorer = graph.scorer(graph.reward(Split.HELD_OUT))
    rows = graph.prompt_rows(Split.VALIDATION, graph.settings.seeds)
    noise = Noise(graph.settings.seeds.of("evaluation", "selection"), torch.arange(len(rows)))
    scores: dict[str, float] = {}
    for folder in sorted(snapshots.iterdir()):
        policy = graph.base.stored_policy(folder).to(next(scorer.parameters()).device)
        rollouts = graph.engine(policy).sample([row.prompt.tolist() for row in rows], noise)
        scores[folder.name] = float(over_rows(rollouts.sequences, scorer).mean())
    if not scores:
        raise TrainingError("keep=best found no snapshot to choose from", "raise algo.steps or trainer.snapshots")
    best = max(scores, key=lambda name: scores[name])
    shutil.copytree(snapshots / best, out / "model")
    say(f"  kept the policy after {int(best)} batches, by the held-out reward model")
    return {"selected": {"batches": int(best), "scores": scores}}
