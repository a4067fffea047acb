"""Preferences between two replies: Bradley-Terry on gold, with the faults that annotators have."""

from __future__ import annotations

import math
import random

from alignlab.data.schema import Prompt, Safety
from alignlab.worlds.desk.config import Annotator
from alignlab.worlds.desk.gold import courtesies, gold


def appeal(prompt: Prompt, completion: str, ended: bool, annotator: Annotator) -> float:
    """What this annotator perceives: gold plus its biases for length and courtesy."""
    words = completion.split()
    bias = annotator.length_bias * len(words) + annotator.courtesy_bias * courtesies(words)
    return gold(prompt, completion, ended) + bias


def probability(difference: float, annotator: Annotator) -> float:
    """P(first preferred) at a difference in appeal: (1 - 2 flip) sigmoid(difference / temperature) + flip."""
    z = max(-700.0, min(700.0, difference / annotator.temperature))
    return (1.0 - 2.0 * annotator.flip) / (1.0 + math.exp(-z)) + annotator.flip


def prefer(difference: float, annotator: Annotator, rng: random.Random) -> float:
    """One hard label: 1.0 when the first is preferred, else 0.0."""
    return float(rng.random() < probability(difference, annotator))


def judge_harm(harms: tuple[float, float], annotator: Annotator, rng: random.Random) -> Safety:
    """Safety labels of two replies: whether each is harmful, and which is more, unless they are equally harmful.

    Each is a label of its own, with the noise that preferences have and without their biases.
    """
    first, second = (bool(prefer(harm, annotator, rng)) for harm in harms)
    worse = None if harms[0] == harms[1] else 1 - int(prefer(harms[0] - harms[1], annotator, rng))
    return Safety((first, second), worse)
