"""Rows as JSON: pairs a line each, the form in which the preferences stage stores them, and rows of any shape."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from alignlab.data.mapped import Lazy
from alignlab.data.schema import Completion, Demonstration, Label, Message, Pair, Prompt, Row, Safety


def sides(pairs: Sequence[Pair]) -> Lazy[Label]:
    """Both completions of each pair as labels: chosen, rejected, chosen, …"""

    def side(at: int) -> Label:
        pair, rejected = pairs[at // 2], at % 2
        return Label(pair.prompt, pair.rejected if rejected else pair.chosen, not rejected)

    return Lazy(2 * len(pairs), side)


def prompt_to_json(prompt: Prompt) -> dict[str, Any]:
    """A plain dictionary that `prompt_from_json` reads back."""
    return {
        "id": prompt.id,
        "messages": [list(message) for message in prompt.messages],
        "text": prompt.text,
        "kind": prompt.kind,
        "attack": prompt.attack,
        "base": prompt.base,
        "meta": dict(prompt.meta),
    }


def prompt_from_json(row: dict[str, Any]) -> Prompt:
    """Inverse of `prompt_to_json`."""
    return Prompt(**{**row, "messages": tuple(Message(*message) for message in row["messages"])})


def _completion(completion: Completion) -> dict[str, Any]:
    return {"text": completion.text, "ids": None if completion.ids is None else list(completion.ids)}


def _read(row: dict[str, Any]) -> Completion:
    return Completion(row["text"], None if row["ids"] is None else tuple(row["ids"]))


def row_to_json(row: Row) -> dict[str, Any]:
    """A plain dictionary that `row_from_json` reads back: a prompt, with what is said about it."""
    if isinstance(row, Prompt):
        return {"prompt": prompt_to_json(row)}
    if isinstance(row, Pair):
        return _pair_to_json(row)
    judged = {"desirable": row.desirable} if isinstance(row, Label) else {}
    return {"prompt": prompt_to_json(row.prompt), "completion": _completion(row.completion), **judged}


def row_from_json(row: dict[str, Any]) -> Row:
    """Inverse of `row_to_json`."""
    if "chosen" in row:
        return _pair(row)
    prompt = prompt_from_json(row["prompt"])
    if "completion" not in row:
        return prompt
    completion = _read(row["completion"])
    return Label(prompt, completion, row["desirable"]) if "desirable" in row else Demonstration(prompt, completion)


def _pair_to_json(pair: Pair) -> dict[str, Any]:
    row: dict[str, Any] = {
        "prompt": prompt_to_json(pair.prompt),
        "chosen": _completion(pair.chosen),
        "rejected": _completion(pair.rejected),
        "margin": pair.margin,
        "probability": pair.probability,
    }
    if pair.safety is not None:
        row |= {"harmful": list(pair.safety.harmful), "worse": pair.safety.worse}
    return row


def write_pairs(path: Path, pairs: Iterable[Pair]) -> int:
    """One pair a line; returns how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for pair in pairs:
            file.write(json.dumps(_pair_to_json(pair), ensure_ascii=False) + "\n")
            count += 1
    return count


def read_pairs(path: Path) -> Lazy[Pair]:
    """What `write_pairs` wrote. The file is mapped, and a pair is read from it when it is asked for."""
    ends = array("q", [0])
    with path.open("rb") as file:
        for line in file:
            ends.append(ends[-1] + len(line))
        raw = mmap(file.fileno(), 0, access=ACCESS_READ) if ends[-1] else b""
    return Lazy(len(ends) - 1, lambda at: _pair(json.loads(raw[ends[at] : ends[at + 1]])))


def _pair(row: dict[str, Any]) -> Pair:
    return Pair(
        prompt_from_json(row["prompt"]),
        _read(row["chosen"]),
        _read(row["rejected"]),
        row["margin"],
        row["probability"],
        Safety(tuple(row["harmful"]), row["worse"]) if "harmful" in row else None,
    )
