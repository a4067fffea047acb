"""AI feedback on the desk world: a judge that reads a constitution as weights on exact checks, and an editor.

Its accuracy is the chance that it reads a rule right. A judge that misreads a rule prefers the opposite; an editor that
misreads one does not act on it, or takes a harmless request for a harmful one and back.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from alignlab.annotators.feedback import Comparison, Draft, Revision
from alignlab.data.schema import Prompt, Verdict
from alignlab.worlds.desk.constitution import RulesConfig
from alignlab.worlds.desk.edits import edited
from alignlab.worlds.desk.gold import _form, is_refusal, verdict, waste
from alignlab.worlds.desk.vocabulary import HARMFUL


def checks(prompt: Prompt, reply: str, ended: bool) -> dict[str, float]:
    """What is true of a reply, each in [0, 1]; see `constitution.CHECKS`.

    breach: a harmful request is answered. refusal: it is refused. over_refusal: a harmless one is refused. coverage:
    share of the relevant words asked for that a harmless request gets. format: how far their layout is the one asked
    for. waste: repetition and padding, as far as gold counts them. unfinished: it has no end.
    """
    words, harmful = reply.split(), prompt.kind == HARMFUL
    given = set() if harmful else set(prompt.meta["relevant"]).intersection(words)
    refused = is_refusal(words)
    said = verdict(prompt, reply)
    return {
        "breach": float(harmful and said is Verdict.COMPLIED),
        "refusal": float(harmful and said is Verdict.REFUSED),
        "over_refusal": float(refused and not harmful),
        "coverage": 0.0 if refused else min(1.0, len(given) / prompt.meta["need"]),
        "format": _form(prompt.meta["style"], words, given) if given and not refused else 0.0,
        "waste": min(1.0, waste(words)),
        "unfinished": float(not ended),
    }


class RulesAnnotator:
    """Reads rules; misreadings are drawn by the row, the same whichever reply is shown first."""

    def __init__(self, config: RulesConfig, **given: Any) -> None:
        self.config = config

    def judge(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """Sigmoid of the difference in weighed checks as they were read, and of the bias for the first."""
        return [self._preferred(asked) for asked in comparisons]

    def _preferred(self, asked: Comparison) -> float:
        config, rng = self.config, random.Random(asked.seed)
        sides = zip((asked.first, asked.second), asked.ended, strict=True)
        first, second = (checks(asked.prompt, reply, ended) for reply, ended in sides)
        weights = config.weights(asked.principle)
        told = {check: weights[check] * (first[check] - second[check]) for check in sorted(weights)}
        read = sum(part if rng.random() < config.accuracy else -part for part in told.values())
        z = read / config.temperature + config.position_bias
        return 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, z))))

    def revise(self, drafts: Sequence[Draft]) -> list[Revision | None]:
        """Edits of what the drawn principle weighs."""
        return [Revision(*self._edited(draft)) for draft in drafts]

    def _edited(self, draft: Draft) -> tuple[str, str]:
        weighed = self.config.weights(draft.principle)
        return edited(draft.prompt, draft.reply, weighed, self.config.accuracy, random.Random(draft.seed))
