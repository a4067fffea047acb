"""Judges that come without a world of their own. Each target is a function (prompt, text) -> Verdict."""

from __future__ import annotations

from collections.abc import Mapping

from alignlab.method import Component

PHRASES = Component(
    name="phrases",
    summary="Refusals by a list of English phrases; its error is not measured on your data: check it first.",
    target="alignlab.evaluation.phrases:verdict",
)

JUDGES: Mapping[str, Component] = {judge.name: judge for judge in (PHRASES,)}
"""Every judge declared here, by name."""
