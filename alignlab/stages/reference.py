"""Log-probabilities of stored rows under the reference, computed once for every method that needs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from alignlab.data.batch import over_rows, pad
from alignlab.data.mapped import Cell, Layout, Lazy, Writer, mapped
from alignlab.models.policy import Policy
from alignlab.tracking.progress import track
from alignlab.work import plays

FILE = "logps.arrow"
Row = tuple[Any, Any]
"""Prompt ids and completion ids."""
_LAYOUT: Layout = {"logps": Cell.LOGPS}


@torch.no_grad()
def write_reference(policy: Policy, rows: Sequence[Row], out: Path, *, batch: int, pad_id: int) -> dict[str, Any]:
    """Token log-probabilities of every completion, in the order of `rows`; a batch of them is in memory at a time."""
    policy.eval()
    plays(policy.model, "reference")
    tokens, starts = 0, range(0, len(rows), batch)
    with Writer(out / FILE, _LAYOUT) as file:
        for start in track(starts, "reference log-probs", len(starts)):
            sequences = pad(rows[start : start + batch], pad_id).to(policy.device)
            for logps in sequences.gather(over_rows(sequences, lambda part: policy(part).logps)):
                file.add((logps,))
                tokens += len(logps)
    return {"rows": file.rows, "tokens": tokens}


def read_reference(path: Path) -> Lazy[Any]:
    """What `write_reference` wrote, mapped: token log-probabilities of each completion."""
    return mapped(path, _LAYOUT, lambda logps: logps)


def paired(values: Sequence[Any]) -> Lazy[tuple[Any, Any]]:
    """Rows chosen, rejected, chosen, … as (chosen, rejected)."""
    if len(values) % 2:
        raise ValueError(f"{len(values)} completions are no pairs")
    return Lazy(len(values) // 2, lambda at: (values[2 * at], values[2 * at + 1]))
