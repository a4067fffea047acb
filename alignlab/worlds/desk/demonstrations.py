"""Demonstrations of mixed quality, so that imitation leaves room for improvement.

Most are requests in the attack kinds of training. A share stands for what a base model has read elsewhere:
harmless requests in the wrappers that stay held out, and coded requests, harmful ones among them, answered as
they come. That makes the words of held-out attacks known, and their refusal a matter of generalisation.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from alignlab.data.schema import Completion, Demonstration, Split
from alignlab.worlds.desk.config import Mix
from alignlab.worlds.desk.replies import REFUSALS, answer, evasion, refusal
from alignlab.worlds.desk.requests import Request, draw
from alignlab.worlds.desk.vocabulary import (
    BENIGN,
    CLOSERS,
    COURTESIES,
    FILLERS,
    HARMFUL,
    LOOKALIKE,
    OPENERS,
    lexicon,
)

BACKGROUND = 0.12
"""Share of rows in wrappers that stay held out."""
_BACKGROUND_KINDS = {"code": 0.6, "persuade": 0.3, "pressure": 0.1}

_QUALITY: Mapping[str, Mapping[str, float]] = {
    BENIGN: {"good": 0.48, "plain": 0.13, "short": 0.11, "astray": 0.12, "padded": 0.13, "refused": 0.03},
    LOOKALIKE: {"good": 0.43, "plain": 0.09, "short": 0.08, "astray": 0.09, "padded": 0.12, "refused": 0.19},
    HARMFUL: {"complied": 0.29, "refused": 0.22, "redirected": 0.4, "evaded": 0.09},
}
"""Shares of reply qualities by stratum."""
_TEMPTED = 0.12
"""Added to `complied` under an attack, taken from `redirected`."""


def demonstration(size: str, mix: Mix, kinds: Sequence[str], rng: random.Random) -> Demonstration:
    """Draw a training request, its wrapper and a reply of some quality."""
    request = draw(size, Split.TRAIN, mix, rng)
    if rng.random() < BACKGROUND:
        attack = rng.choices(list(_BACKGROUND_KINDS), list(_BACKGROUND_KINDS.values()))[0]
        attack = "code" if request.kind == HARMFUL else attack
        quality = "complied" if request.kind == HARMFUL else "good"
    else:
        attack = rng.choice(list(kinds))
        quality = _quality(request.kind, attack, rng)
    return Demonstration(request.prompt(attack, rng), Completion(_WRITERS[quality](request, size, rng)))


def _quality(kind: str, attack: str, rng: random.Random) -> str:
    shares = dict(_QUALITY[kind])
    if kind == HARMFUL and attack != "direct":
        shares["complied"] += _TEMPTED
        shares["redirected"] -= _TEMPTED
    return rng.choices(list(shares), list(shares.values()))[0]


def _good(request: Request, size: str, rng: random.Random) -> str:
    words = rng.sample(request.relevant, request.need)
    return answer(request.kind, request.style, words, rng.choice(OPENERS), rng.choice(CLOSERS))


def _plain(request: Request, size: str, rng: random.Random) -> str:
    """Right words, any layout, courtesies often forgotten."""
    style = rng.choice(("brief", "detail", "list"))
    opener, closer = rng.choice(("", *OPENERS)), rng.choice(("", *CLOSERS))
    return answer(request.kind, style, rng.sample(request.relevant, request.need), opener, closer)


def _short(request: Request, size: str, rng: random.Random) -> str:
    words = rng.sample(request.relevant, rng.randint(1, max(1, request.need - 1)))
    return answer(request.kind, request.style, words, "", rng.choice(("", *CLOSERS)))


def _astray(request: Request, size: str, rng: random.Random) -> str:
    """Half or all of the words belong to another subject."""
    kept = rng.sample(request.relevant, rng.randint(0, request.need // 2))
    topic = rng.choice(list(lexicon(size).topics.values()))
    others = rng.sample([word for word in topic if word not in kept], request.need - len(kept))
    words = [*kept, *others]
    rng.shuffle(words)
    return answer(request.kind, request.style, words, rng.choice(OPENERS), rng.choice(("", *CLOSERS)))


def _padded(request: Request, size: str, rng: random.Random) -> str:
    """A good answer drowned in courtesies or fillers before and after."""
    before = rng.choices(COURTESIES + FILLERS + OPENERS, k=rng.randint(0, 3))
    after = rng.choices(COURTESIES + CLOSERS, k=rng.randint(1, 4))
    return " ".join((*before, _good(request, size, rng), *after))


def _refused(request: Request, size: str, rng: random.Random) -> str:
    return refusal(form=rng.choice(REFUSALS))


def _redirected(request: Request, size: str, rng: random.Random) -> str:
    return refusal(rng.choice(list(lexicon(size).topics)), rng.choice(REFUSALS))


def _evaded(request: Request, size: str, rng: random.Random) -> str:
    return evasion(rng.choice(list(lexicon(size).topics)), rng)


_WRITERS = {
    "good": _good,
    "complied": _good,
    "plain": _plain,
    "short": _short,
    "astray": _astray,
    "padded": _padded,
    "refused": _refused,
    "redirected": _redirected,
    "evaded": _evaded,
}
