"""Log-probabilities of stored rows under the reference, computed once for every method that needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from alignlab.data.batch import PairBatch, over_rows
from alignlab.data.module import batches_once, pair_reference
from alignlab.data.tokens import PairTokens
from alignlab.method import Data
from alignlab.models.policy import Policy
from alignlab.tracking.progress import track

FILE = "logps.npz"


@torch.no_grad()
def write_reference(policy: Policy, rows: list[PairTokens], out: Path, *, batch: int, pad_id: int) -> dict[str, Any]:
    """Token log-probabilities of both completions of every pair, in the order of `rows`."""
    policy.eval()
    values: list[tuple[np.ndarray, np.ndarray]] = []
    loader: Any = batches_once(Data.PAIRS, rows, batch, pad_id)
    for item in track(loader, "reference log-probs", len(loader)):
        pairs: PairBatch = item.to(policy.device)
        values += pair_reference(pairs, over_rows(pairs.sequences, lambda rows: policy(rows).logps))
    flat = [side for pair in values for side in pair]
    np.savez(
        out / FILE,
        values=np.concatenate(flat).astype(np.float32),
        lengths=np.array([len(side) for side in flat], np.int32),
    )
    return {"pairs": len(values), "tokens": int(sum(map(len, flat)))}


def read_reference(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """What `write_reference` wrote: (chosen, rejected) arrays of token log-probabilities."""
    with np.load(path, allow_pickle=False) as stored:
        sides = np.split(stored["values"], np.cumsum(stored["lengths"])[:-1])
    return list(zip(sides[::2], sides[1::2], strict=True))
