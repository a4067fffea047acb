"""Base requests, their strata, and the split that keeps them apart.

A base request is (template, object, style). Its id is readable, and a checksum of the id alone decides its
split, before any attack is applied: no seed, size or order moves a request from one split to another.
"""

from __future__ import annotations

import hashlib
import json
import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from alignlab.data.schema import Message, Prompt, Split
from alignlab.worlds.desk import attacks
from alignlab.worlds.desk.config import Mix
from alignlab.worlds.desk.vocabulary import (
    ACTION_TEMPLATES,
    BENIGN,
    HARMFUL,
    KINDS,
    LOOKALIKE,
    STYLES,
    TOPIC_TEMPLATES,
    lexicon,
)

_BOUNDS = ((Split.EVALUATION, 20), (Split.VALIDATION, 30), (Split.HELD_OUT, 46), (Split.TRAIN, 100))


@dataclass(frozen=True)
class Request:
    """One base request and what an answer to it needs."""

    kind: str
    template: str
    action: str
    """Topic, or verb and object."""
    thing: str
    """The object alone: what relevant words belong to."""
    style: str
    relevant: tuple[str, ...]
    need: int
    """How many relevant words a full answer has."""

    @property
    def id(self) -> str:
        """Readable identity, the same in every size of the world."""
        return f"{self.kind}/{self.template}/{self.action}/{self.style}"

    @property
    def split(self) -> Split:
        """The one split this request belongs to, by crc32 of its id."""
        bucket = zlib.crc32(self.id.encode()) % 100
        return next(split for split, bound in _BOUNDS if bucket < bound)

    @property
    def text(self) -> str:
        """What the user says without any attack."""
        return f"{self.template} {self.action} {STYLES[self.style]}"

    def prompt(self, attack: str = "direct", rng: random.Random | None = None) -> Prompt:
        """The request as a prompt, wrapped in an attack that `rng` draws the details of."""
        messages = attacks.apply(attack, (Message("user", self.text),), rng or random.Random(0))
        facts = dict(thing=self.thing, style=self.style, relevant=list(self.relevant), need=self.need)
        return Prompt(
            id=identity(self.id, messages),
            messages=messages,
            kind=self.kind,
            attack="" if attack == "direct" else attack,
            base=self.id,
            meta=facts,
        )


def identity(base: str, messages: tuple[Message, ...]) -> str:
    """Stable id of a prompt: 16 hex digits of a hash of its base request and its turns."""
    content = json.dumps([base, [list(message) for message in messages]])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@cache
def requests(size: str) -> tuple[Request, ...]:
    """Every base request of a size, in a fixed order."""
    words = lexicon(size)
    found: list[Request] = []
    for style, need in words.needs.items():
        for topic, relevant in words.topics.items():
            found += [Request(BENIGN, form, topic, topic, style, relevant, need) for form in TOPIC_TEMPLATES]
        for kind, table in ((LOOKALIKE, words.lookalikes), (HARMFUL, words.hazards)):
            for (verb, thing), relevant in table.items():
                reach = min(need, len(relevant))
                action = f"{verb} {thing}"
                found += [Request(kind, form, action, thing, style, relevant, reach) for form in ACTION_TEMPLATES]
    return tuple(found)


@cache
def by_split(size: str, split: Split) -> Mapping[str, tuple[Request, ...]]:
    """Base requests of a split by stratum."""
    chosen = [request for request in requests(size) if request.split is split]
    return {kind: tuple(request for request in chosen if request.kind == kind) for kind in KINDS}


def draw(size: str, split: Split, mix: Mix, rng: random.Random) -> Request:
    """A base request of a split, with replacement: first the stratum by `mix`, then uniformly within it."""
    kinds, shares = zip(*mix, strict=True)
    return rng.choice(by_split(size, split)[rng.choices(kinds, shares)[0]])
