"""Log-probabilities of stored rows under the reference, computed once for every method that needs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alignlab.data.batch import over_rows, pad
from alignlab.models.policy import Policy
from alignlab.tracking.progress import track
from alignlab.work import plays

FILE = "logps.npz"
Row = tuple[Any, Any]
"""Prompt ids and completion ids."""


@torch.no_grad()
def write_reference(policy: Policy, rows: Sequence[Row], out: Path, *, batch: int, pad_id: int) -> dict[str, Any]:
    """Token log-probabilities of every completion, in the order of `rows`."""
    policy.eval()
    plays(policy.model, "reference")
    values: list[np.ndarray] = []
    starts = range(0, len(rows), batch)
    for start in track(starts, "reference log-probs", len(starts)):
        sequences = pad(rows[start : start + batch], pad_id).to(policy.device)
        values += sequences.gather(over_rows(sequences, lambda part: policy(part).logps))
    np.savez(
        out / FILE,
        values=np.concatenate(values).astype(np.float32),
        lengths=np.array([len(side) for side in values], np.int32),
    )
    return {"rows": len(values), "tokens": int(sum(map(len, values)))}


def read_reference(path: Path) -> list[np.ndarray]:
    """What `write_reference` wrote: token log-probabilities of each completion."""
    with np.load(path, allow_pickle=False) as stored:
        return np.split(stored["values"], np.cumsum(stored["lengths"])[:-1])


def paired(values: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows chosen, rejected, chosen, … as (chosen, rejected)."""
    return list(zip(values[::2], values[1::2], strict=True))
