"""The same requests as every method answered them, for people to read. Chosen before looking at any reply."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab.compare.conditions import Condition
from alignlab.compare.content import PRIMARY, number, request_of
from alignlab.compare.rows import SFT

COUNT = 120
"""Requests shown."""
ROWS = 40
"""Rows whose replies are shown; a page of every reply of a hundred rows would not open."""


def examples(
    rows: Sequence[Condition], *, reveal: bool = False, start: bool = True, count: int = COUNT
) -> list[dict[str, Any]]:
    """The first requests of each kind in turn at the lowest seed that most rows have.

    Requests of kinds that a run withholds (harmful ones of real data) and replies to them stay out unless `reveal`.
    Replies of SFT are shown with `start`, where all rows started from the same policy.
    """
    seed = _seed(rows)
    shown = [condition for condition in rows if seed in condition.runs][:ROWS]
    found: dict[str, dict[str, Any]] = {}
    for condition in shown:
        run = condition.runs[seed]
        hidden = frozenset() if reveal else frozenset(run.about.get("withheld") or ())
        for sample in _samples(run.folder / "samples.jsonl"):
            prompt = sample["prompt"]
            asked = _request(prompt)
            # Different data may use one id for different requests.
            one = found.setdefault(f"{prompt['id']} {sample['attempt']} {asked['prompt']}", asked)
            withheld = prompt.get("kind") in hidden
            if start and not one["replies"] and isinstance(sample.get("sft"), Mapping):
                one["replies"].append(_reply(SFT, sample["sft"], withheld))
            one["replies"].append(_reply(condition.id, sample, withheld))
    return [{**each, "prompt": request_of(each)} for each in _spread(list(found.values()), count)]


def _seed(rows: Sequence[Condition]) -> int:
    """Of the seeds most rows have, the lowest."""
    counts: dict[int, int] = {}
    for condition in rows:
        for seed in condition.runs:
            counts[seed] = counts.get(seed, 0) + 1
    most = max(counts.values())
    return min(seed for seed, times in counts.items() if times == most)


def _samples(path: Path) -> list[dict[str, Any]]:
    """Rows of samples.jsonl; those that cannot be read are left out, since figures come from elsewhere."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("prompt"), dict) and "id" in row["prompt"] and "attempt" in row:
            found.append(row)
    return found


def _request(prompt: Mapping[str, Any]) -> dict[str, Any]:
    turns = prompt.get("messages") or []
    last = str(turns[-1][-1]) if turns else str(prompt.get("text") or "")
    text = last if len(turns) <= 1 else "\n".join(f"{role}: {said}" for role, said in turns)
    return {"prompt": text, "kind": prompt.get("kind", ""), "attack": prompt.get("attack", ""), "replies": []}


def _reply(row: str, reply: Mapping[str, Any], withheld: bool) -> dict[str, Any]:
    return {
        "id": row,
        "text": "" if withheld else str(reply.get("text", "")),
        "scores": {name: round(found, 4) for name in PRIMARY if (found := number(reply.get(name))) is not None},
        "length": reply.get("length"),
        "verdict": reply.get("verdict") or "",
        "withheld": withheld,
    }


def _spread(found: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The first of each kind in turn."""
    queues: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        queues.setdefault(str(each["kind"]), []).append(each)
    rounds = max((len(queue) for queue in queues.values()), default=0)
    turns = [queue[turn] for turn in range(rounds) for queue in queues.values() if turn < len(queue)]
    return turns[:count]
