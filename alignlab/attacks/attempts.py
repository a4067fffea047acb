"""Applying attacks: one by name, or independent draws over several kinds as prompts of one goal."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import replace

from alignlab import registry
from alignlab.attacks.kinds import DIRECT
from alignlab.attacks.turns import Messages
from alignlab.data.schema import Prompt
from alignlab.errors import DataError
from alignlab.seeding import derive


def apply(kind: str, messages: Messages, rng: random.Random) -> Messages:
    """Apply a registered attack by name; PluginError for a name that none has."""
    turned: Messages = registry.component("attacks", kind).load()(messages, rng)
    return turned


def attacked(goal: Prompt, kind: str, rng: random.Random) -> Prompt:
    """A goal under one attack. `base`, stratum and meta stay; the id is a hash of base and turns.

    DataError for a goal that is verbatim text: an attack needs turns.
    """
    if not goal.messages:
        raise DataError(
            f"prompt {goal.id!r} is verbatim text, which has no turn to attack",
            "store conversations, or make text a turn of the user by data.text_as=user",
        )
    messages = apply(kind, goal.messages, rng)
    if kind == DIRECT:
        return goal
    return replace(goal, id=identity(goal.base, messages), messages=messages, attack=kind)


def attempts(goal: Prompt, n: int, kinds: Sequence[str], index: int = 0) -> list[Prompt]:
    """`n` attacks on a goal, i.i.d. over `kinds`, each a function of the goal, `index` and its number.

    The order of `kinds` does not matter. A smaller `n` gives a prefix.
    """
    ordered, drawn = sorted(kinds), []
    for number in range(n):
        rng = random.Random(derive("attempt", goal.id, index, number))
        drawn.append(attacked(goal, rng.choice(ordered), rng))
    return drawn


def identity(base: str, messages: Messages) -> str:
    """Stable id of a prompt: 16 hex digits of a hash of its base request and its turns."""
    content = json.dumps([base, [list(message) for message in messages]], ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]
