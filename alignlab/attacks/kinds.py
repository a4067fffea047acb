"""Which attacks there are: declarations, and checks of a list of names. Torch-free, so that settings can use it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from alignlab import registry
from alignlab.errors import ConfigError
from alignlab.method import Component

VERSION = 1
"""Part of the fingerprint of what draws attacks; raised when an attack gives other text at equal draws."""

DIRECT = "direct"
"""The kind that changes nothing."""


TEXT = "text"
"""Real text as a language of attacks and attackers, apart from those of embedded worlds."""


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
    name=TEXT,
    summary="Reframes after a refusal, asks for the rest after a partial answer.",
    target="alignlab.attacks.attacker:respond",
)


def default_kinds() -> tuple[str, ...]:
    """What prompts of real text are attacked with where nothing is said: the plain request, then every attack here."""
    return (DIRECT, *ATTACKS)


def language_of(kind: str) -> str:
    """The language an attack is written in: text, the name of an embedded world, or '' for any.

    Names are those of the attackers. What a package brings along is taken at its word. PluginError for an unknown kind.
    """
    target = registry.component("attacks", kind).target
    if kind == DIRECT:
        return ""
    if kind in ATTACKS:
        return TEXT
    return target.split(".")[2] if target.startswith("alignlab.worlds.") else ""


def check_kinds(key: str, kinds: Iterable[str], language: str = TEXT) -> None:
    """ConfigError that names `key` for an empty list, a kind named twice, or one written in another language.

    `language` is that of the prompts, by the name of their attacker. PluginError for a kind that is unknown.
    """
    named = list(kinds)
    if not named:
        raise ConfigError(f"{key} is empty", f"name at least one kind, such as {key}=[{DIRECT}]")
    twice = next((kind for kind in named if named.count(kind) > 1), None)
    if twice is not None:
        raise ConfigError(f"{key} names {twice} twice", "kinds are drawn uniformly: name each once")
    foreign = next((kind for kind in named if language_of(kind) not in ("", language)), None)
    if foreign is not None:
        known = sorted(kind for kind in registry.components("attacks") if language_of(kind) in ("", language))
        raise ConfigError(
            f"{key}: the attack {foreign!r} is written for {_PROMPTS.get(language_of(foreign), 'another world')}, "
            f"and the prompts are {_PROMPTS.get(language, language)}",
            f"choose from {', '.join(known)}",
        )


_PROMPTS = {TEXT: "real text", "desk": "those of the desk world"}
