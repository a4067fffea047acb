"""What is done to a content before the page shows it: texts that are withheld go, shares stay between 0 and 1.

A t interval over few seeds may reach below 0 or above 1. The page draws the part that a share can have; the CSV keeps
the interval as it was computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alignlab.compare.content import listed, mapping, metric, number, request_of, rows

DIFFERENCES = ("youden_attacked", "youden", "gap")
"""Of a row of the posture."""
SIGNED = {"youden"}
"""Differences of shares, which lie between -1 and 1."""


def prepared(content: dict[str, Any]) -> dict[str, Any]:
    """The content as the page takes it; the one given stays as it was."""
    return {
        **content,
        "examples": _examples(content),
        "rows": [_row(row) for row in rows(content)],
        "posture": _posture(mapping(content, "posture")),
    }


def _posture(found: Mapping[str, Any]) -> dict[str, Any]:
    """The posture with every share between 0 and 1, differences of shares between -1 and 1."""
    return {**found, "rows": [_posture_row(row) for row in listed(found, "rows")]}


def _posture_row(row: Mapping[str, Any]) -> dict[str, Any]:
    signed = {key: _within(row[key], -1.0) for key in DIFFERENCES if key in row}
    shares = {key: _within(row[key]) for key in ("breach", "breach_seen", "breach_held_out") if key in row}
    grouped = {key: _all_within(mapping(row, key)) for key in ("over", "wrapped_by", "breach_at")}
    laws = {
        name: {**law, "at": _all_within(mapping(law, "at"))}
        for name, law in mapping(row, "laws").items()
        if isinstance(law, Mapping)
    }
    turns = [
        {**turn, **{key: _within(turn.get(key)) for key in ("survival", "hazard")}}
        for turn in listed(mapping(row, "survival"), "turns")
    ]
    return {
        **row,
        **signed,
        **shares,
        **grouped,
        "laws": laws,
        "survival": {**mapping(row, "survival"), "turns": turns},
    }


def _all_within(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _within(found) for name, found in figures.items()}


def _examples(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Examples without the texts that are not to be shown, so that the file does not hold them either."""
    return [
        {
            **each,
            "prompt": request_of(each),
            "replies": [
                {**reply, "text": None} if reply.get("withheld") else reply for reply in listed(each, "replies")
            ],
        }
        for each in listed(content, "examples")
    ]


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    metrics = {
        key: _within(found, -1.0 if key in SIGNED else 0.0) if metric(key).form == "percent" else found
        for key, found in mapping(row, "metrics").items()
    }
    attacks = {name: _share(found, "breach") for name, found in mapping(row, "attacks").items()}
    strata = {kind: _share(found, "refusal") for kind, found in mapping(row, "strata").items()}
    breach_at = {k: _within(found) for k, found in mapping(row, "breach_at").items()}
    return {**row, "metrics": metrics, "attacks": attacks, "strata": strata, "breach_at": breach_at}


def _share(found: Any, key: str) -> Any:
    """Figures of which the named one, where it is there, is a share."""
    return {**found, key: _within(found[key])} if isinstance(found, Mapping) and key in found else found


def _within(found: Any, least: float = 0.0) -> Any:
    """A figure with its interval cut to what a share can be."""
    if not isinstance(found, Mapping):
        return found
    ends = {key: number(found.get(key)) for key in ("low", "high")}
    return {**found, **{key: min(1.0, max(least, end)) for key, end in ends.items() if end is not None}}
