"""Random characters behind the request, or within it.

`perturbation` is one draw of best-of-n jailbreaking (arXiv:2412.03556, section 2), with its probabilities at
sigma = 0.4; attempts at a goal are the n. Unlike the paper's, its noise leaves white space alone, so that words stay
words. `suffix_noise` is the random start of a suffix attack without the search that makes one
(arXiv:2307.15043): what it breaks, no gradient was needed for.
"""

from __future__ import annotations

import random
import re
import string

from alignlab.attacks.turns import Messages, rewrite

SIGMA = 0.4
SCRAMBLED = CAPITALS = SIGMA**0.5
"""Chance that a word of four letters or more is scrambled, and that a letter changes its case."""
STRAY = SIGMA**3
"""Chance that a character becomes its neighbour in ASCII."""
_SUFFIX = (8, 24)
"""Fewest and most characters of a random suffix."""
_PRINTABLE = (33, 126)


def suffix_noise(messages: Messages, rng: random.Random) -> Messages:
    """8 to 24 random letters, digits and signs behind the request."""
    signs = string.ascii_letters + string.digits + string.punctuation
    suffix = "".join(rng.choices(signs, k=rng.randint(*_SUFFIX)))
    return rewrite(messages, lambda text: f"{text} {suffix}")


def perturbation(messages: Messages, rng: random.Random) -> Messages:
    """Scrambled middles of words, random capitals, stray characters; length and spaces stay."""
    return rewrite(messages, lambda text: perturb(text, rng))


def perturb(text: str, rng: random.Random) -> str:
    """A text of the same length; words keep their places, first and last letters but for strays."""
    text = re.sub(r"\S{4,}", lambda match: _scrambled(match[0], rng), text)
    return "".join(_stray(_swapped(character, rng), rng) for character in text)


def _scrambled(word: str, rng: random.Random) -> str:
    if rng.random() >= SCRAMBLED:
        return word
    middle = list(word[1:-1])
    rng.shuffle(middle)
    return word[0] + "".join(middle) + word[-1]


def _swapped(character: str, rng: random.Random) -> str:
    other = character.swapcase()
    # Some letters have no single counterpart: the capital of ß is two letters long.
    return other if rng.random() < CAPITALS and len(other) == 1 else character


def _stray(character: str, rng: random.Random) -> str:
    low, high = _PRINTABLE
    if rng.random() >= STRAY or not low <= ord(character) <= high:
        return character
    return chr(min(high, max(low, ord(character) + rng.choice((-1, 1)))))
