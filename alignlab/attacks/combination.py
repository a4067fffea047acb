"""Several attacks at once: what each leaves standing, together they often do not (arXiv:2307.02483, section 4)."""

from __future__ import annotations

import random

from alignlab.attacks.code_words import code_words
from alignlab.attacks.competing import prefix_injection, refusal_suppression
from alignlab.attacks.encodings import base64, leetspeak, rot13
from alignlab.attacks.noise import perturbation
from alignlab.attacks.payload_splitting import payload_splitting
from alignlab.attacks.persuasion import persuasion
from alignlab.attacks.role_play import role_play
from alignlab.attacks.turns import Messages

INNER = (base64, rot13, leetspeak, payload_splitting, code_words, perturbation)
"""Change how the request is written; at most one of them, before any wrapper."""
WRAPPERS = (role_play, persuasion, refusal_suppression, prefix_injection)
"""Stand around the request, in this order."""


def combination(messages: Messages, rng: random.Random) -> Messages:
    """Two or three different single-turn attacks; every second draw also changes how the request is written."""
    count = rng.randint(2, 3)
    if rng.random() < 0.5:
        messages = rng.choice(INNER)(messages, rng)
        count -= 1
    for number in sorted(rng.sample(range(len(WRAPPERS)), count)):
        messages = WRAPPERS[number](messages, rng)
    return messages
