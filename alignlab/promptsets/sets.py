"""Prompt sets side by side as one place that goals and attempts come from, as the sources of data are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property

from alignlab.attacks.attempts import attempts
from alignlab.attacks.kinds import VERSION as ATTACKS_VERSION
from alignlab.attacks.kinds import default_kinds
from alignlab.data.schema import Prompt, Split
from alignlab.errors import ConfigError, DataError
from alignlab.promptsets.config import KEY, PromptSetsConfig
from alignlab.promptsets.known import HARMFUL, KINDS, SETS
from alignlab.promptsets.read import Loaded, load

VERSION = 1
"""Part of the fingerprint; raised when equal files give other prompts."""


class PromptSets:
    """Goals and attempts of the sets that a configuration names. Files are read on first use."""

    attacker = "text"
    """Component of kind `attackers` that speaks this language."""

    def __init__(self, config: PromptSetsConfig) -> None:
        if not config.sets:
            known = ", ".join(SETS)
            raise ConfigError(f"{KEY}.sets names no set", f"pass {KEY}.sets={{‹name›: ‹file›}}; known names: {known}")
        self.config = config

    @cached_property
    def sets(self) -> list[Loaded]:
        """Every set; a prompt that an earlier one has is dropped and counted, blind to case and spacing.

        DataError where two sets disagree about what a prompt is, and for a set that has no prompt.
        """
        seen: dict[str, Prompt] = {}
        return [_without(seen, load(name, path)) for name, path in self.config.sets.items()]

    @property
    def notes(self) -> list[str]:
        """What was found and what was decided about it, a line each."""
        return [line for one in self.sets for line in one.lines()]

    def goals(self, split: Split, kind: str = HARMFUL) -> list[Prompt]:
        """Prompts of a kind in the order of the sets. All are for EVALUATION: the other splits have none.

        DataError for an unknown kind.
        """
        if kind not in KINDS:
            raise DataError(f"unknown kind of prompts {kind!r}", f"choose from {', '.join(KINDS)}")
        if split is not Split.EVALUATION:
            return []
        return [prompt for one in self.sets for prompt in one.prompts if prompt.kind == kind]

    def attempts(self, goal: Prompt, n: int, kinds: Sequence[str], index: int = 0) -> list[Prompt]:
        """`n` attacks on a goal, i.i.d. over `kinds`, each a function of the goal, `index` and its number."""
        return attempts(goal, n, kinds, index)

    @property
    def attack_kinds(self) -> dict[str, bool | None]:
        """Kinds that attempts are drawn from; None: whether training met them is not known here."""
        return dict.fromkeys(default_kinds() if self.config.attacks is None else self.config.attacks)

    def judge(self) -> None:
        """None: no judge is exact on real text."""
        return None

    def fingerprint(self, view: str = "all") -> str:
        """Hash of the sets' contents and of what attacks are drawn from; places of files do not count."""
        content = [[one.name, one.content] for one in self.sets]
        text = json.dumps([VERSION, content, ATTACKS_VERSION, sorted(self.attack_kinds)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without(seen: dict[str, Prompt], loaded: Loaded) -> Loaded:
    """Drop what was seen before, and remember the rest."""
    kept = []
    for prompt in loaded.prompts:
        # Conversations that open alike are different prompts; single turns are told apart blind to spelling.
        key = prompt.base if len(prompt.messages) == 1 else prompt.id
        first = seen.setdefault(key, prompt)
        if first is prompt:
            kept.append(prompt)
            continue
        if first.kind != prompt.kind:
            raise DataError(
                f"one prompt is {first.kind} in {first.meta['set']} and {prompt.kind} in {loaded.name}: "
                f"{_shortened(prompt.show())!r}",
                "correct one of the sets",
            )
        loaded.left_out["there already"] += 1
    if not kept:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in loaded.left_out.items())
        raise DataError(f"{KEY}.sets.{loaded.name} gives no prompt: {reasons}", "leave it out, or check the file")
    loaded.prompts = kept
    return loaded


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
