"""The stream of batches: a pure function of seed and position, and exact after a stop at any point."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from alignlab.data.loader import Batches
from alignlab.errors import ConfigError, DataError, StoreError
from alignlab.seeding import Seeds


def collate(rows, index):
    assert list(rows) == index.tolist()
    return list(rows)


def stream(n=10, size=4, seed=0, **kwargs):
    kwargs = kwargs or {"epochs": 3}
    return Batches(list(range(n)), collate, size, seeds=Seeds(seed), **kwargs)


def test_every_pass_is_a_permutation_and_batches_are_full_but_the_last():
    batches = list(stream(n=10, size=4, epochs=3))
    flat = [row for batch in batches for row in batch]
    assert [len(batch) for batch in batches] == [4] * 7 + [2]
    assert len(stream()) == 8
    for epoch in range(3):
        assert sorted(flat[epoch * 10 : epoch * 10 + 10]) == list(range(10))
    assert flat[:10] != flat[10:20]


def test_batches_depend_on_seed_and_position_only():
    whole = list(stream(seed=1))
    assert whole == list(stream(seed=1))
    assert whole != list(stream(seed=2))
    assert [stream(seed=1).batch(k) for k in reversed(range(8))] == whole[::-1]
    assert list(stream(seed=1, epochs=4))[:7] == whole[:7]


def test_only_the_data_stream_moves_the_order():
    rows = list(range(50))

    def order(seeds):
        return Batches(rows, collate, 50, seeds=seeds, epochs=1).batch(0)

    assert order(Seeds(0)) == order(Seeds(0, {"rollout": 5, "init": 3}))
    assert order(Seeds(0)) != order(Seeds(0, {"data": 5}))


def test_without_seeds_rows_stay_in_order():
    batches = Batches(list(range(5)), collate, 2, seeds=None, epochs=1)
    assert list(batches) == [[0, 1], [2, 3], [4]]


def test_steps_are_full_batches_however_few_the_rows():
    batches = list(stream(n=3, size=4, steps=5))
    assert [len(batch) for batch in batches] == [4] * 5
    assert sorted(Counter(row for batch in batches for row in batch).values()) == [6, 7, 7]


@pytest.mark.parametrize("stop", range(9))
def test_resume_continues_with_the_next_batch(stop):
    first, second = stream(), stream()
    seen = [batch for _, batch in zip(range(stop), first, strict=False)]
    state = first.state_dict()
    second.load_state_dict(json.loads(json.dumps(state)))
    rest = list(second)
    assert state["k"] == len(seen) == stop
    assert seen + rest == list(stream())
    assert list(second) == list(stream())


def test_an_iterator_that_is_never_used_loses_nothing():
    batches = stream()
    batches.load_state_dict({**stream().state_dict(), "k": 2, "seen": 8})
    iter(batches)
    assert next(iter(batches)) == stream().batch(2)


def test_a_longer_run_continues_a_shorter_one_of_full_batches():
    short, long = stream(epochs=2), stream(epochs=4)
    done = list(short)
    long.load_state_dict(short.state_dict())
    assert done + list(long) == list(stream(epochs=4))


@pytest.mark.parametrize(
    "other", [{"n": 11}, {"size": 5}, {"seed": 9}, {"epochs": 4}], ids=["rows", "batch", "seed", "length"]
)
def test_another_stream_refuses_the_state(other):
    stored = stream()
    list(stored)
    with pytest.raises(StoreError, match="another stream of rows"):
        stream(**other).load_state_dict(stored.state_dict())


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_each_global_batch(world):
    single = stream(n=10, size=4, epochs=2)
    ranks = [stream(n=10, size=4, epochs=2, rank=rank, world=world) for rank in range(world)]
    assert len({len(rank) for rank in ranks}) == 1
    for k in range(len(ranks[0])):
        shares = [rank.batch(k) for rank in ranks]
        assert all(shares)
        assert sorted(row for share in shares for row in share) == sorted(single.batch(k))
        assert shares[0] == single.batch(k)[::world]


def test_a_last_batch_too_small_for_all_processes_is_left_out():
    ranks = [stream(n=9, size=4, epochs=1, rank=rank, world=2) for rank in range(2)]
    assert [len(rank) for rank in ranks] == [2, 2]


def test_wrong_sizes_are_refused():
    with pytest.raises(DataError, match="no rows to make batches of"):
        Batches([], collate, 2, seeds=None, epochs=1)
    with pytest.raises(ConfigError, match=r"batch_size=2 leaves some of the 3 processes"):
        stream(size=2, epochs=1, world=3)
    with pytest.raises(ValueError, match="either epochs or steps"):
        stream(epochs=1, steps=2)
    with pytest.raises(IndexError, match="batch 8 of 8"):
        stream().batch(8)


SCRIPT = """
import os, signal, sys
import lightning as L, torch
from lightning.pytorch.callbacks import ModelCheckpoint
from alignlab.data.loader import Batches
from alignlab.seeding import Seeds

folder, kill = sys.argv[1], int(sys.argv[2])

class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    def training_step(self, batch, i):
        if i == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        with open(f"{folder}/log", "a") as log:
            log.write(f"{i}:{batch.tolist()}\\n")
        return ((self.weight - batch.double()) ** 2).mean()
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.1)

torch.set_num_threads(1)
module = Module()
rows = list(range(10))
batches = Batches(rows, lambda r, i: torch.tensor(r), 4, seeds=Seeds(3), epochs=3)
every = ModelCheckpoint(folder, save_last=True, every_n_train_steps=2, save_top_k=0)
trainer = L.Trainer(max_epochs=1, accelerator="cpu", callbacks=[every], logger=False,
                    enable_progress_bar=False, enable_model_summary=False)
last = f"{folder}/last.ckpt"
trainer.fit(module, batches, ckpt_path=last if os.path.exists(last) else None, weights_only=True)
print("weight", module.weight.item().hex())
"""


def run(folder: Path, kill: int) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(kill)], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_killed_lightning_run_resumes_on_the_same_batches(tmp_path):
    straight = run(tmp_path / "straight", -1)
    expected = (tmp_path / "straight" / "log").read_text().splitlines()
    assert [line.split(":")[0] for line in expected] == [str(i) for i in range(8)]
    kill = 5
    folder = tmp_path / "killed"
    assert run(folder, kill).returncode == -9
    resumed = run(folder, -1)
    log = (folder / "log").read_text().splitlines()
    # The last checkpoint before the kill was written after an even number of batches.
    stored = kill - kill % 2
    assert log[:kill] == expected[:kill]
    assert log[kill:] == expected[stored:]
    assert resumed.stdout.splitlines()[-1] == straight.stdout.splitlines()[-1]


def test_index_names_the_rows():
    batches = Batches("abcdef", lambda rows, index: (rows, index), 3, seeds=Seeds(0), epochs=1)
    rows, index = batches.batch(1)
    assert index.dtype == torch.long
    assert rows == ["abcdef"[i] for i in index]
