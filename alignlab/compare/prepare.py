"""What is done to a content before the page shows it: texts that are withheld go, shares stay between 0 and 1.

A t interval over few seeds may reach below 0 or above 1. The page draws the part that a share can have; the CSV keeps
the interval as it was computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alignlab.compare.content import listed, mapping, metric, number, rows

SIGNED = {"youden"}
"""Differences of shares, which lie between -1 and 1."""


def prepared(content: dict[str, Any]) -> dict[str, Any]:
    """The content as the page takes it; the one given stays as it was."""
    return {**content, "examples": _examples(content), "rows": [_row(row) for row in rows(content)]}


def _examples(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Examples without the texts that are not to be shown, so that the file does not hold them either."""
    return [
        {
            **each,
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
