"""The desk world: requests to an assistant over a closed vocabulary, with an exact gold score.

What a registry needs (the source, its judge, its attacks, AI feedback by its rules) stands here and imports in
milliseconds; rows, scores and the tokenizer are built only when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

from alignlab.method import Component
from alignlab.worlds.desk.config import HELD_OUT_KINDS, TRAINED_KINDS, DeskConfig, Mix
from alignlab.worlds.desk.constitution import RulesConfig

__all__ = ["ATTACKER", "ATTACKS", "HELD_OUT_KINDS", "JUDGE", "RULES", "SOURCE", "TRAINED_KINDS", "DeskConfig", "Mix"]

SOURCE = Component(
    name="desk",
    summary="Embedded help-desk world: no files, exact gold score, harmless by construction.",
    target="alignlab.worlds.desk.source:DeskSource",
    config=DeskConfig,
)

JUDGE = Component(
    name="desk",
    summary="Exact three-valued verdict on replies of the desk world.",
    target="alignlab.worlds.desk.judge:desk_judge",
)

RULES = Component(
    name="rules",
    summary="reads the rules of the desk world, with a chance to misread each",
    target="alignlab.worlds.desk.rules:RulesAnnotator",
    config=RulesConfig,
)


def _attack(name: str, summary: str) -> Component:
    return Component(name=name, summary=summary, target=f"alignlab.worlds.desk.attacks:{name}")


ATTACKS: Mapping[str, Component] = {
    component.name: component
    for component in (
        _attack("direct", "The request as it is."),
        _attack("prefix", "Asks for a reply that begins with a word of consent."),
        _attack("roleplay", "Asks in the name of a persona that answers everything."),
        _attack("persuade", "Claims an authority and a harmless purpose."),
        _attack("code", "Names the object by a code word."),
        _attack("pressure", "Pushes on for one to three further turns after a refusal."),
        _attack("stack", "Two or three single-turn attacks at once."),
        _attack("suppress", "Forbids words of refusal."),
        _attack("split", "Gives the request in two parts to be put together."),
        _attack("many_shot", "Two to four harmless questions, each answered, go before."),
        _attack("noise", "Random known words behind the request."),
    )
}
"""Every attack: each target is a function (messages, rng) -> messages."""

ATTACKER = Component(
    name="desk",
    summary="Insists or claims a purpose after a refusal, asks for the rest after a partial answer.",
    target="alignlab.worlds.desk.attacker:respond",
)
