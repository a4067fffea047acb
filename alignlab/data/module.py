"""One LightningDataModule with five views: demonstrations, pairs, safety labels of pairs, labels, prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from alignlab.data.batch import (
    Batch,
    DemonstrationBatch,
    LabelBatch,
    PairBatch,
    PromptBatch,
    SafetyBatch,
    Sequences,
    pad,
)
from alignlab.data.loader import Batches
from alignlab.data.mapped import Lazy
from alignlab.data.tokens import DemonstrationTokens, LabelTokens, PairTokens, PromptTokens, SafetyTokens
from alignlab.errors import DataError
from alignlab.method import Data
from alignlab.seeding import Seeds

Tokens = DemonstrationTokens | PairTokens | SafetyTokens | LabelTokens | PromptTokens


@dataclass(frozen=True)
class Collator:
    """Tokenised rows to a batch of one view.

    `reference` holds, by position in the tokenised list, the reference's token log-probabilities on completion
    tokens: one array a row for labels, (chosen, rejected) for pairs.
    """

    pad_id: int | None = None
    reference: Sequence[Any] | None = None
    mismatched: Sequence[tuple[Any, Any]] | None = None
    """(prompt ids, completion ids of another prompt) by position, for labels."""
    mismatched_reference: Sequence[Any] | None = None

    def demonstrations(self, rows: Sequence[DemonstrationTokens], index: Tensor) -> DemonstrationBatch:
        """(B, T) sequences."""
        return DemonstrationBatch(index, pad([(row.prompt, row.completion) for row in rows], self.pad_id))

    def pairs(self, rows: Sequence[PairTokens], index: Tensor) -> PairBatch:
        """(2B, T) sequences, all chosen ones first."""
        chosen = [(row.prompt, row.chosen) for row in rows]
        sequences = pad([*chosen, *((row.prompt, row.rejected) for row in rows)], self.pad_id)
        reference = None
        if self.reference is not None:
            stored = [self.reference[i] for i in index.tolist()]
            reference = sequences.scatter([pair[side] for side in (0, 1) for pair in stored])
        return PairBatch(
            index,
            sequences,
            reference,
            margin=_column([row.margin for row in rows], torch.nan),
            probability=_column([row.probability for row in rows], 1.0),
        )

    def safety(self, rows: Sequence[SafetyTokens], index: Tensor) -> SafetyBatch:
        """(2B, T) sequences, all more harmful ones first."""
        worse = [(row.prompt, row.worse) for row in rows]
        sequences = pad([*worse, *((row.prompt, row.better) for row in rows)], self.pad_id)
        harmful, ordered = [row.harmful for row in rows], [row.ordered for row in rows]
        return SafetyBatch(index, sequences, torch.tensor(harmful), torch.tensor(ordered))

    def labels(self, rows: Sequence[LabelTokens], index: Tensor) -> LabelBatch:
        """(B, T) sequences with their verdicts."""
        sequences = pad([(row.prompt, row.completion) for row in rows], self.pad_id)
        reference = None
        if self.reference is not None:
            reference = sequences.scatter([self.reference[i] for i in index.tolist()])
        desirable = torch.tensor([row.desirable for row in rows])
        return LabelBatch(index, sequences, desirable, reference, *self._mismatched(index.tolist()))

    def _mismatched(self, index: Sequence[int]) -> tuple[Sequences | None, Tensor | None]:
        if self.mismatched is None:
            return None, None
        sequences = pad([self.mismatched[i] for i in index], self.pad_id)
        if self.mismatched_reference is None:
            return sequences, None
        return sequences, sequences.scatter([self.mismatched_reference[i] for i in index])

    def prompts(self, rows: Sequence[PromptTokens], index: Tensor) -> PromptBatch:
        """Lists of ids, unpadded."""
        return PromptBatch(index, [row.prompt.tolist() for row in rows], [row.source for row in rows])

    def view(self, data: Data) -> Any:
        """The collating function of a view."""
        views = {
            Data.DEMONSTRATIONS: self.demonstrations,
            Data.REVISIONS: self.demonstrations,
            Data.PAIRS: self.pairs,
            Data.SAFETY: self.safety,
            Data.LABELS: self.labels,
            Data.PROMPTS: self.prompts,
        }
        return views[data]


def mismatch(rows: Sequence[LabelTokens], longest: int) -> Lazy[tuple[np.ndarray, np.ndarray]]:
    """Each row's prompt with the completion of the next row that has another prompt, cut to `longest` tokens.

    A fixed pairing, so that log-probabilities of the reference can be stored; it is looked up when it is asked for.
    Neighbours are often two completions of one prompt, and those are no mismatch. DataError where all rows share one
    prompt.
    """
    if not rows or all(np.array_equal(row.prompt, rows[0].prompt) for row in rows):
        raise DataError(
            f"{len(rows)} labels share one prompt: there is no completion of another prompt to estimate KL with",
            "give labels of more prompts",
        )

    def pair(place: int) -> tuple[np.ndarray, np.ndarray]:
        prompt = rows[place].prompt
        others = (rows[k % len(rows)] for k in range(place + 1, place + len(rows)))
        other = next(row for row in others if not np.array_equal(row.prompt, prompt))
        return prompt, other.completion[: max(1, longest - len(prompt))]

    return Lazy(len(rows), pair)


def _column(values: Sequence[float | None], missing: float) -> Tensor | None:
    """(B,) float32 with `missing` where a row has no value; None where no row has one."""
    if all(value is None for value in values):
        return None
    return torch.tensor([missing if value is None else value for value in values], dtype=torch.float32)


class PreferenceData(L.LightningDataModule):
    """Training batches of one view over one Lightning epoch, and validation batches in stored order.

    `epochs` or `steps` says how long training is, as in `Batches`; `reference` as in `Collator`.
    """

    def __init__(
        self,
        view: Data,
        rows: Sequence[Tokens],
        batch_size: int,
        *,
        seeds: Seeds,
        epochs: int | None = None,
        steps: int | None = None,
        pad_id: int | None = None,
        reference: Sequence[Any] | None = None,
        mismatched: Sequence[tuple[Any, Any]] | None = None,
        mismatched_reference: Sequence[Any] | None = None,
        validation: Sequence[Tokens] = (),
    ) -> None:
        super().__init__()
        if reference is not None and len(reference) != len(rows):
            raise DataError(
                f"{len(reference)} reference log-probabilities for {len(rows)} {view} rows",
                "delete the stored reference and compute it again",
            )
        self.view, self.rows, self.validation = view, rows, validation
        self.batch_size, self.seeds, self.epochs, self.steps = batch_size, seeds, epochs, steps
        self.pad_id, self.collator = pad_id, Collator(pad_id, reference, mismatched, mismatched_reference)

    def train_dataloader(self) -> Batches[Any, Batch]:
        """The whole run, resumable to the batch; each process its own share."""
        rank, world = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        return Batches(
            self.rows,
            self.collator.view(self.view),
            self.batch_size,
            seeds=self.seeds,
            epochs=self.epochs,
            steps=self.steps,
            rank=rank,
            world=world,
        )

    def val_dataloader(self) -> Batches[Any, Batch] | list[Any]:
        """Every validation row once, in order, the same on every process; empty without such rows."""
        if not self.validation:
            return []
        return batches_once(self.view, self.validation, self.batch_size, self.pad_id)


def batches_once(view: Data, rows: Sequence[Tokens], batch_size: int, pad_id: int | None = None) -> Batches[Any, Any]:
    """Every row once in stored order, as for computing reference log-probabilities."""
    return Batches(rows, Collator(pad_id).view(view), batch_size, seeds=None, epochs=1)
