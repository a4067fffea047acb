"""The cost of a completion: a scorer that learned from safety labels, and whose zero is the border of harm.

A stage of its own, for methods that declare the scorer `cost`. Its scores stay as they were trained: shifting them, as
is done to rewards, would move the border.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from alignlab.data.schema import Pair, Split
from alignlab.errors import DataError
from alignlab.method import Data
from alignlab.models.scorer import Scorer
from alignlab.rewards.config import RewardConfig
from alignlab.rewards.learned import LearnedReward
from alignlab.stages import scoring
from alignlab.stages.fingerprint import source_hashes
from alignlab.stages.protocol import Stages
from alignlab.tracking.console import say, warn
from alignlab.work import plays, uncounted

NAME = "cost"
"""The scorer, as methods declare it."""


def check_labels(source: Any, name: str) -> None:
    """Raise DataError when the source neither holds safety labels nor can give them."""
    if Data.SAFETY in source.native or hasattr(source, "safety"):
        return
    columns = getattr(source, "safety_columns", ())
    if not columns:
        raise DataError(f"{name} needs safety labels, and {source.name} has none", "choose data with safety labels")
    raise DataError(
        f"{name} needs safety labels, and rows of {source.name} have no key {columns[0]!r}",
        f"add {', '.join(columns)}, or name the columns that hold them: data.columns={{{columns[0]}: ‹name›}}",
    )


def scorer(graph: Stages) -> LearnedReward:
    """The cost model, ready to score rollouts."""
    model = graph.scorer(graph.cost())
    plays(model.model, NAME)
    return LearnedReward(scorer=model)


def address(graph: Stages) -> dict[str, Any]:
    """What a stage that uses it depends on."""
    return {"model": graph.cost().content, "code": source_hashes(LearnedReward)}


@torch.no_grad()
def check(graph: Stages, model: Scorer, part: Split, config: RewardConfig) -> dict[str, Any]:
    """Measure a cost model on safety labels it was not trained on; returns health figures.

    Most completions are harmless, so that the share of right signs says little beside the share of harmful ones found.
    """
    other = Split.HELD_OUT if part is Split.TRAIN else Split.TRAIN
    rows = graph.safety_rows(other)[:2000]
    with uncounted():  # what only measures is no work of the cost model
        costs = scoring.side_scores(model, rows, ("worse", "better"), graph.base.pad_id)
    harmful = torch.tensor([row.harmful for row in rows])
    found = costs > 0
    figures: dict[str, Any] = {"sign_accuracy": _share(found == harmful), "harmful": _share(harmful)}
    if harmful.any():
        figures["harmful_found"] = _share(found[harmful])
    ordered = torch.tensor([row.ordered for row in rows])
    if ordered.any():
        figures["accuracy"] = _share(costs[ordered, 0] > costs[ordered, 1])
    pairs = graph.stored_pairs(other)
    figures |= {"pairs": len(rows), "ordered": int(ordered.sum()), "mean": float(costs.mean())}
    kinds = {"mean_harmful": costs[harmful], "mean_safe": costs[~harmful]}
    figures |= {name: float(those.mean()) for name, those in kinds.items() if len(those)}
    figures |= _truth(graph, [pairs[row.row] for row in rows], costs)
    say(f"  {_sentence(figures)}")
    if not harmful.any():
        warn("no unseen completion is labelled harmful: whether the cost model finds harm is not known")
    if figures.get("harmful_found", 1.0) < 0.5:
        warn(f"the cost model finds only {figures['harmful_found']:.0%} of harmful completions: nothing holds the rest")
    if figures.get("accuracy", 1.0) < config.pairs_check:
        warn(f"the cost model orders only {figures['accuracy']:.0%} of unseen pairs by harm")
    return {"health": figures}


def _share(hits: Tensor) -> float:
    return float(hits.float().mean())


def _sentence(figures: dict[str, Any]) -> str:
    shown = f"sign accuracy {figures['sign_accuracy']:.2f} on {2 * figures['pairs']:,} unseen completions"
    if "harmful_found" in figures:
        shown += f", {figures['harmful_found']:.0%} of the harmful ones found"
    if "accuracy" in figures:
        shown += f", pair accuracy {figures['accuracy']:.2f} on {figures['ordered']:,}"
    if "gold_sign_accuracy" in figures:
        shown += f"; signs against the truth {figures['gold_sign_accuracy']:.2f}"
    return shown


def _truth(graph: Stages, pairs: list[Pair], costs: Tensor) -> dict[str, float]:
    """Share of signs that are right where the source knows harm; costs (B, 2), the labelled worse side first."""
    if not hasattr(graph.source, "harm"):
        return {}
    ends, hits = set(graph.base.end_ids), []
    for pair, row in zip(pairs, costs.tolist(), strict=True):
        sides = [pair.chosen, pair.rejected]
        if pair.safety is not None and pair.safety.worse:
            sides.reverse()
        for side, cost in zip(sides, row, strict=True):
            ended = side.ids is None or side.ids[-1] in ends
            hits.append((cost > 0) == (graph.source.harm(pair.prompt, side.text, ended) > 0))
    return {"gold_sign_accuracy": sum(hits) / len(hits)}
