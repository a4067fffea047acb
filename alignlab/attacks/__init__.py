"""Adversarial transformations of real text, and an attacker that keeps up the pressure over several turns.

Each attack is a pure function (messages, rng) -> messages, small enough to read, after a paper that its docstring
names. None changes what is asked, none ships anything harmful, and none searches: they are drawn, so that attempts
at one goal are independent. Declarations alone stand here; `attempts` applies them.
"""

from __future__ import annotations

from collections.abc import Mapping

from alignlab.method import Component

__all__ = ["ATTACKER", "ATTACKS", "DIRECT", "VERSION", "default_kinds"]

VERSION = 1
"""Part of the fingerprint of what draws attacks; raised when an attack gives other text at equal draws."""

DIRECT = "direct"
"""The kind that changes nothing."""


def _attack(target: str, summary: str) -> Component:
    module, _, name = target.partition(":")
    return Component(name=name, summary=summary, target=f"alignlab.attacks.{module}:{name}")


ATTACKS: Mapping[str, Component] = {
    component.name: component
    for component in (
        _attack("competing:prefix_injection", "Asks for a reply that begins with words of consent."),
        _attack("competing:refusal_suppression", "Rules out apologies, disclaimers and the words of refusal."),
        _attack("role_play:role_play", "Asks a character in a story who answers everything."),
        _attack("persuasion:persuasion", "One of six techniques of persuasion, such as authority or evidence."),
        _attack("code_words:code_words", "Replaces telling words by code words and gives the key."),
        _attack("payload_splitting:payload_splitting", "Cuts the request into parts to be put together."),
        _attack("encodings:base64", "The request in base64."),
        _attack("encodings:rot13", "The request with every letter moved by 13 places."),
        _attack("encodings:leetspeak", "Digits in place of letters."),
        _attack("in_context:in_context", "Many-shot: two to sixteen harmless questions, each answered, go before."),
        _attack("noise:suffix_noise", "Random characters behind the request."),
        _attack("noise:perturbation", "Random capitals, scrambled words and stray characters, as in best-of-n."),
        _attack("combination:combination", "Two or three single-turn attacks at once."),
    )
}
"""Attacks on text of any language that writes Latin letters, by name; the wrappers are in English."""

ATTACKER = Component(
    name="text",
    summary="Reframes after a refusal, asks for the rest after a partial answer.",
    target="alignlab.attacks.attacker:respond",
)


def default_kinds() -> tuple[str, ...]:
    """What prompts of real text are attacked with where nothing is said: the plain request, then every attack here."""
    return (DIRECT, *ATTACKS)
