"""The desk world as a source of rows: everything is a function of the configuration and the seeds."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from alignlab.data.schema import Demonstration, Pair, Prompt, Safety, Split
from alignlab.errors import DataError
from alignlab.method import Data
from alignlab.seeding import Seeds, derive
from alignlab.worlds.desk import attacks, replies, tokenizer
from alignlab.worlds.desk.annotator import appeal, judge_harm, prefer
from alignlab.worlds.desk.config import HELD_OUT_KINDS, TRAINED_KINDS, DeskConfig
from alignlab.worlds.desk.demonstrations import demonstration
from alignlab.worlds.desk.gold import gold, harm
from alignlab.worlds.desk.requests import by_split, draw, identity

VERSION = 1
"""Part of the fingerprint; raised when rows change at equal configuration."""


class DeskSource:
    """Prompts, demonstrations, preferences and gold of the desk world."""

    name = "desk"
    native = frozenset({Data.PROMPTS, Data.DEMONSTRATIONS})
    annotates = True
    attacker = "desk"
    """Component of kind `attackers` that speaks this world's language."""

    def __init__(self, config: DeskConfig) -> None:
        self.config = config
        self.annotator = config.annotator_settings()

    def fingerprint(self, view: str = "all") -> str:
        """Hash of what the rows of a view depend on; DataError for an unknown view.

        Views: all, demonstrations, labels, evaluation. A stage that reads one view stays valid when settings
        of another change.
        """
        if view not in _VIEWS:
            raise DataError(f"unknown view {view!r} of the desk world", f"choose from {', '.join(_VIEWS)}")
        settings = asdict(self.config) | asdict(self.annotator)
        used = {name: settings[name] for name in _VIEWS[view]}
        return hashlib.sha256(json.dumps([VERSION, view, used], sort_keys=True).encode()).hexdigest()[:16]

    def tokenizer(self) -> Any:
        """The world's own vocabulary as a fast tokenizer."""
        return tokenizer.build(self.config.size)

    def prompts(self, split: Split, seeds: Seeds) -> Sequence[Prompt]:
        """Prompts of a split, drawn with replacement. Row i depends only on the seed and i.

        A smaller budget is therefore a prefix of a larger one. VALIDATION and EVALUATION ignore `seeds`.
        """
        config = self.config
        if split is Split.TRAIN:
            return [self._label_prompt(split, seeds.random("world", split, i)) for i in range(config.pairs)]
        if split is Split.HELD_OUT:
            return [self._label_prompt(split, seeds.random("world", split, i)) for i in range(config.held_out_pairs)]
        count = config.evaluation_prompts if split is Split.EVALUATION else config.validation_prompts
        return [self._fixed_prompt(split, index) for index in range(count)]

    def demonstrations(self, seeds: Seeds) -> Sequence[Demonstration]:
        """Demonstrations of mixed quality on requests of TRAIN."""
        config = self.config
        return [
            demonstration(
                config.size, config.demonstration_mix, config.attacks, seeds.random("world", "demonstrations", index)
            )
            for index in range(config.demonstrations)
        ]

    def pairs(self, split: Split) -> Sequence[Pair]:
        """The desk world stores no pairs: DataError."""
        raise DataError(
            "the desk world has no stored pairs",
            "sample two completions a prompt from the SFT policy and label them with `prefer`",
        )

    def prefer(
        self,
        prompt: Prompt,
        first: str,
        second: str,
        seeds: Seeds,
        index: int,
        ended: tuple[bool, bool] = (True, True),
    ) -> float:
        """The annotator's hard label, 1.0 for first; its noise is a function of the seed and `index`."""
        difference = appeal(prompt, first, ended[0], self.annotator) - appeal(prompt, second, ended[1], self.annotator)
        return prefer(difference, self.annotator, seeds.random("labels", "annotator", index))

    def safety(
        self,
        prompt: Prompt,
        first: str,
        second: str,
        seeds: Seeds,
        index: int,
        ended: tuple[bool, bool] = (True, True),
    ) -> Safety:
        """The annotator's labels of harm; their noise is a function of the seed and `index`, apart from `prefer`'s."""
        harms = self.harm(prompt, first, ended[0]), self.harm(prompt, second, ended[1])
        return judge_harm(harms, self.annotator, seeds.random("labels", "safety", index))

    def harm(self, prompt: Prompt, completion: str, ended: bool) -> float:
        """Exact harm in [-1, 1]: above 0 only for a breach."""
        return harm(prompt, completion)

    def gold(self, prompt: Prompt, completion: str, ended: bool) -> float:
        """Exact score in [-1, 1]."""
        return gold(prompt, completion, ended)

    def judge(self) -> str:
        """The exact judge of this world."""
        return "desk"

    @property
    def attack_kinds(self) -> dict[str, bool]:
        """Kinds that evaluation draws attacks from, and whether training met them."""
        kinds = dict.fromkeys((*TRAINED_KINDS, *HELD_OUT_KINDS, *self.config.attacks))
        return {kind: kind in self.config.attacks for kind in kinds}

    def ideal(self, prompt: Prompt) -> str:
        """A reply with gold 1."""
        return replies.ideal(prompt)

    def control(self, prompt: Prompt, name: str) -> str:
        """What a policy says that refuses everything (`refuse`), or answers everything (`comply`)."""
        if name == "refuse":
            return replies.refusal()
        return replies.answer(prompt.kind, prompt.meta["style"], prompt.meta["relevant"][: prompt.meta["need"]])

    def goals(self, split: Split, kind: str = "harmful") -> list[Prompt]:
        """Every base request of a split and stratum, without attack: the units of posture figures."""
        strata = by_split(self.config.size, split)
        if kind not in strata:
            raise DataError(f"unknown stratum {kind!r} of the desk world", f"choose from {', '.join(strata)}")
        return [request.prompt() for request in strata[kind]]

    def attempts(self, goal: Prompt, n: int, kinds: Sequence[str], index: int = 0) -> list[Prompt]:
        """`n` attacks on a goal, i.i.d. over `kinds`, each a function of the goal, `index` and its number."""
        return [self._attempt(goal, list(kinds), index, number) for number in range(n)]

    def _attempt(self, goal: Prompt, kinds: list[str], index: int, number: int) -> Prompt:
        rng = random.Random(derive("desk", "attempt", goal.id, index, number))
        kind = rng.choice(kinds)
        messages = attacks.apply(kind, goal.messages, rng)
        return Prompt(
            id=identity(goal.base, messages),
            messages=messages,
            kind=goal.kind,
            attack="" if kind == "direct" else kind,
            base=goal.base,
            meta=goal.meta,
        )

    def _label_prompt(self, split: Split, rng: random.Random) -> Prompt:
        request = draw(self.config.size, split, self.config.mix, rng)
        return request.prompt(rng.choice(self.config.attacks), rng)

    def _fixed_prompt(self, split: Split, index: int) -> Prompt:
        rng = random.Random(derive("desk", split, index))
        request = draw(self.config.size, split, self.config.evaluation_mix, rng)
        return request.prompt(rng.choice(TRAINED_KINDS), rng)


_ANNOTATION = ("temperature", "flip", "length_bias", "courtesy_bias")
_READ: Mapping[str, tuple[str, ...]] = {
    "demonstrations": ("size", "demonstrations", "demonstration_mix", "attacks"),
    "labels": ("size", "pairs", "held_out_pairs", "mix", "attacks", *_ANNOTATION),
    "evaluation": ("size", "evaluation_prompts", "validation_prompts", "evaluation_mix"),
}
_VIEWS = {"all": tuple(sorted(set().union(*_READ.values()))), **_READ}
