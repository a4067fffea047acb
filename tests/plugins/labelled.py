"""Label batches with cached reference log-probabilities, for tests of label methods."""

from __future__ import annotations

from typing import Any

import torch
from small import texts
from torch import Tensor

from alignlab.data.batch import LabelBatch, pad
from alignlab.models.policy import Policy


def labels(rows: int, seed: int = 0, reference: Policy | None = None, **columns: Any) -> LabelBatch:
    """Every third row undesirable; each prompt beside the next row's completion."""
    drawn = texts(rows, seed)
    mixed = [(prompt, drawn[(row + 1) % rows][1]) for row, (prompt, _) in enumerate(drawn)]
    sequences, mismatched = pad(drawn, 0), pad(mixed, 0)
    desirable = columns.pop("desirable", torch.arange(rows) % 3 != 2)
    if reference is None:
        return LabelBatch(torch.arange(rows), sequences, desirable)
    with torch.no_grad():
        known = [reference(part).logps for part in (sequences, mismatched)]
    return LabelBatch(torch.arange(rows), sequences, desirable, known[0], mismatched, known[1])


def ratios(policy: Policy, batch: LabelBatch, *, mismatched: bool = False) -> Tensor:
    """log pi/ref of each row by a loop over tokens, (B,)."""
    sequences = batch.mismatched if mismatched else batch.sequences
    reference = batch.mismatched_reference if mismatched else batch.reference
    logps = policy(sequences).logps
    return torch.stack(
        [sum(logps[b, t] - reference[b, t] for t in row.nonzero()[:, 0]) for b, row in enumerate(sequences.completion)]
    )
