"""Prompt sets as a data source: nothing to train on, everything to measure a finished model on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alignlab.data.schema import Demonstration, Pair, Prompt, Split
from alignlab.errors import DataError
from alignlab.method import Data
from alignlab.promptsets.known import KINDS
from alignlab.promptsets.sets import PromptSets
from alignlab.seeding import Seeds


class PromptSetsSource(PromptSets):
    """Every prompt of the sets is one of EVALUATION; there are no labels, no gold and no judge that is exact."""

    name = "promptsets"
    native = frozenset({Data.PROMPTS})
    annotates = False

    def tokenizer(self) -> None:
        """None: the model brings its own."""

    def prompts(self, split: Split, seeds: Seeds) -> list[Prompt]:
        """All prompts as they are, whatever the seeds."""
        return [prompt for kind in KINDS for prompt in self.goals(split, kind)]

    def demonstrations(self, seeds: Seeds) -> Sequence[Demonstration]:
        """DataError: there are none."""
        raise _nothing("demonstrations")

    def pairs(self, split: Split) -> Sequence[Pair]:
        """DataError: there are none."""
        raise _nothing("pairs")

    def prefer(self, *_: Any, **__: Any) -> None:
        """None: there is no annotator."""

    def gold(self, prompt: Prompt, completion: str, ended: bool) -> None:
        """None: the true score is not known."""


def _nothing(what: str) -> DataError:
    return DataError(
        f"prompt sets hold no {what}", "train on other data, and measure on these: evaluation.posture.sets"
    )
