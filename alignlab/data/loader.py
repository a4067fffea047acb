"""Fixed-size batches in one Lightning epoch, so that a run stopped anywhere resumes on the very next batch.

The stream is the concatenation of seeded permutations of the rows, cut into batches; batch k is a pure function
of (seed, k) and the loader's whole state is k. Passes over the data are not Lightning epochs: with several
Lightning epochs a checkpoint written on the last batch of one would skip the next.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from alignlab.errors import ConfigError, DataError, StoreError
from alignlab.seeding import Seeds, derive

ENDLESS = 1 << 40
"""More batches than any run takes."""
Row = TypeVar("Row")
B = TypeVar("B")
Collate = Callable[[Sequence[Row], Tensor], B]
"""Rows and their positions in the list they come from, (B,) long -> one batch."""


class Batches(Generic[Row, B]):
    """Iterable over the batches of a run, resumable to the batch.

    Exactly one of `epochs` (passes over the rows; the last batch may be short) and `steps` (that many full
    batches) says how long it is. Permutations come from the seed stream `data`; `seeds=None` keeps the rows in
    order. With `world` > 1 every process gets rows `rank::world` of each global batch; a short last batch with
    fewer rows than processes is left out, since every process must take part in every update.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        collate: Collate[Row, B],
        batch_size: int,
        *,
        seeds: Seeds | None,
        epochs: int | None = None,
        steps: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if not rows:
            raise DataError("there are no rows to make batches of", "check the data source and its split")
        if (epochs is None) == (steps is None):
            raise ValueError("give either epochs or steps")
        if batch_size < world:
            raise ConfigError(
                f"batch_size={batch_size} leaves some of the {world} processes without rows",
                f"use batch_size={world} or more, or fewer devices",
            )
        self.rows, self.collate, self.batch_size, self.seeds = rows, collate, batch_size, seeds
        self.rank, self.world = rank, world
        self._total = steps * batch_size if steps is not None else (epochs or 0) * len(rows)
        self._next = 0
        self._resume = 0
        self._orders: dict[int, array[int]] = {}

    def __len__(self) -> int:
        full, rest = divmod(self._total, self.batch_size)
        return full + int(rest >= self.world)

    def __iter__(self) -> Iterator[B]:
        # A generator body starts at its first `next`, so that Lightning may create iterators it never uses.
        start, self._resume = self._resume, 0
        for k in range(start, len(self)):
            self._next = k + 1
            yield self.batch(k)

    def batch(self, k: int) -> B:
        """Batch `k` of the run, this process's share of it."""
        positions = self.positions(k)
        return self.collate([self.rows[p] for p in positions], torch.tensor(positions, dtype=torch.long))

    def positions(self, k: int) -> list[int]:
        """Which rows are in this process's share of batch `k`."""
        if not 0 <= k < len(self):
            raise IndexError(f"batch {k} of {len(self)}")
        start = k * self.batch_size
        stop = min(start + self.batch_size, self._total)
        return [self._row(place) for place in range(start + self.rank, stop, self.world)]

    def _row(self, place: int) -> int:
        epoch, offset = divmod(place, len(self.rows))
        return self._order(epoch)[offset]

    def _order(self, epoch: int) -> array[int]:
        if epoch not in self._orders:
            order = array("q", range(len(self.rows)))
            if self.seeds is not None:
                self.seeds.random("data", epoch).shuffle(order)  # any sequence: an array takes 8 bytes a row
            # Batches move forward: the pass before the previous one is not needed again.
            self._orders = {e: kept for e, kept in self._orders.items() if e == epoch - 1} | {epoch: order}
        return self._orders[epoch]

    def _stream(self) -> int:
        seed = -1 if self.seeds is None else self.seeds.of("data")
        return derive(seed, len(self.rows), self.batch_size)

    def _seen(self, k: int) -> int:
        return min(k * self.batch_size, self._total)

    def state_dict(self) -> dict[str, Any]:
        """Batches handed out so far, and which stream they belong to. Lightning stores this."""
        return {"k": self._next, "seen": self._seen(self._next), "stream": self._stream()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batches a stored run had handed out.

        A longer run may go on where a shorter one ended. Raises StoreError when the number of rows, the batch size
        or the seed differ from the stored run's, or when that run ended on a short batch which would be a full
        one here: the batches to come would then not be the ones it had left.
        """
        k = int(state["k"])
        if state["stream"] != self._stream() or state["seen"] != self._seen(k):
            raise StoreError(
                f"the checkpoint stopped after batch {k} of another stream of rows: the number of rows, "
                "batch_size, epochs or the data seed have changed since",
                "resume with the settings of the stored run, or start a new run",
            )
        self._next = self._resume = k
