from __future__ import annotations

import csv
import math
import multiprocessing
import os
import signal
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from alignlab.errors import StoreError
from alignlab.tracking.bar import StageBar
from alignlab.tracking.metrics import MetricLog
from alignlab.tracking.table import CsvTable, read_columns


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Recorder:
    def __init__(self) -> None:
        self.logged: list[tuple[dict[str, float], int]] = []

    def log(self, metrics, samples):
        self.logged.append((dict(metrics), samples))

    def table(self, name, rows):
        raise AssertionError

    def summary(self, figures):
        raise AssertionError

    def finish(self, *, failed=False):
        raise AssertionError


def test_one_row_a_call_with_step_and_samples_first(tmp_path):
    log = MetricLog(tmp_path)
    log.log_metrics({"train/loss": 0.1, "samples": 32.0, "epoch": 0}, 0)
    log.log_metrics({"samples": 64, "train/loss": torch.tensor(0.5)}, 1)
    assert (tmp_path / "metrics.csv").read_text() == "step,samples,train/loss\n0,32,0.1\n1,64,0.5\n"
    assert log.latest == {"train/loss": 0.5}
    assert log.samples == 64


def test_numbers_read_back_exactly(tmp_path):
    values = [1 / 3, 1e-300, -0.0, 123456789.123456789, math.pi * 1e20]
    log = MetricLog(tmp_path)
    for step, value in enumerate(values):
        log.log_metrics({"x": value, "samples": step}, step)
    assert [float(row["x"]) for row in rows(tmp_path / "metrics.csv")] == values


def test_a_new_column_rewrites_the_header_and_blanks_the_past(tmp_path):
    log = MetricLog(tmp_path)
    log.log_metrics({"a": 1.0, "samples": 1}, 0)
    log.log_metrics({"b, with a comma": 2.0, "samples": 2}, 1)
    log.log_metrics({"a": 3.0, "b, with a comma": 4.0, "samples": 3}, 2)
    found = rows(tmp_path / "metrics.csv")
    assert [row["a"] for row in found] == ["1.0", "", "3.0"]
    assert [row["b, with a comma"] for row in found] == ["", "2.0", "4.0"]


def test_samples_stand_until_the_next_figure_and_empty_calls_write_nothing(tmp_path):
    log = MetricLog(tmp_path)
    log.log_metrics({"samples": 10, "a": 1.0}, 0)
    log.log_metrics({"a": 2.0}, 1)
    log.log_metrics({"epoch": 0}, 2)
    assert [row["samples"] for row in rows(tmp_path / "metrics.csv")] == ["10", "10"]


def test_clock_time_is_kept_apart(tmp_path):
    times = iter([5.0, 6.5, 8.25])
    log = MetricLog(tmp_path, clock=lambda: next(times))
    log.log_metrics({"a": 1.0, "samples": 4}, 0)
    log.log_metrics({"a": 1.0, "samples": 8}, 1)
    assert (tmp_path / "timing.csv").read_text() == "step,samples,seconds\n0,4,1.5\n1,8,3.25\n"


def test_a_fresh_log_replaces_what_an_earlier_run_left(tmp_path):
    for value in (1.0, 2.0):
        MetricLog(tmp_path).log_metrics({"a": value, "samples": 1}, 0)
    assert [row["a"] for row in rows(tmp_path / "metrics.csv")] == ["2.0"]


def test_every_row_reaches_the_tracker(tmp_path):
    recorder = Recorder()
    log = MetricLog(tmp_path, tracker=recorder)
    log.log_metrics({"a": 1.0, "samples": 4, "epoch": 0}, 0)
    assert recorder.logged == [({"a": 1.0}, 4)]


def write(log: MetricLog, steps: range) -> None:
    for step in steps:
        extra = {"late": float(step)} if step >= 3 else {}
        log.log_metrics({"a": step / 7, "samples": 10 * step, **extra}, step)


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 6])
def test_winding_back_and_going_on_gives_the_bytes_of_an_uninterrupted_run(tmp_path, at):
    whole, broken = MetricLog(tmp_path / "whole"), MetricLog(tmp_path / "broken")
    write(whole, range(6))
    write(broken, range(at))
    state = broken.state()
    write(broken, range(at, 6))
    again = MetricLog(tmp_path / "broken")
    again.restore(state)
    write(again, range(at, 6))
    expected = (tmp_path / "whole" / "metrics.csv").read_bytes()
    assert (tmp_path / "broken" / "metrics.csv").read_bytes() == expected
    assert len(rows(tmp_path / "broken" / "timing.csv")) == 6


def test_a_torn_last_line_is_dropped(tmp_path):
    log = MetricLog(tmp_path)
    write(log, range(2))
    state = log.state()
    whole = (tmp_path / "metrics.csv").read_bytes()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("2,20,0.28")
    MetricLog(tmp_path).restore(state)
    assert (tmp_path / "metrics.csv").read_bytes() == whole


def test_a_restored_log_tells_a_fresh_tracker_the_past_and_keeps_its_clock(tmp_path):
    clock = [0.0]
    log = MetricLog(tmp_path, clock=lambda: clock[0])
    for step in range(3):
        clock[0] += 2.0
        write(log, range(step, step + 1))
    state = log.state()
    clock[0] = 1000.0
    recorder = Recorder()
    again = MetricLog(tmp_path, tracker=recorder, clock=lambda: clock[0])
    again.restore(state)
    assert recorder.logged == [({"a": step / 7}, 10 * step) for step in range(3)]
    assert again.samples == 20
    clock[0] += 2.0
    write(again, range(3, 4))
    assert [row["seconds"] for row in rows(tmp_path / "timing.csv")] == ["2.0", "4.0", "6.0", "8.0"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("step,samples,a\n0,0,0.0\n"),
        lambda path: path.write_text("step,samples,other\n0,0,0.0\n1,1,1.0\n2,2,2.0\n"),
    ],
)
def test_a_file_that_lacks_the_checkpoints_rows_is_refused(tmp_path, damage):
    log = MetricLog(tmp_path)
    write(log, range(3))
    damage(tmp_path / "metrics.csv")
    with pytest.raises(StoreError, match=r"metrics.csv does not hold the 3 rows that the checkpoint says"):
        MetricLog(tmp_path).restore(log.state())


def test_a_table_knows_its_rows(tmp_path):
    table = CsvTable(tmp_path / "t.csv", ("a",))
    assert table.read() == []
    table.append({"a": 1})
    table.append({"b": "x"})
    assert table.read() == [{"a": "1"}, {"b": "x"}]


def test_columns_read_back_as_numbers(tmp_path):
    write(MetricLog(tmp_path), range(5))
    found = read_columns(tmp_path / "metrics.csv")
    assert found["late"] == [3.0, 4.0]
    assert found["a"] == [step / 7 for step in range(5)]
    assert read_columns(tmp_path / "none.csv") == {}


@pytest.mark.parametrize("text", ["a\nword\n", "a,b\n1\n"])
def test_columns_that_are_no_numbers_are_refused(tmp_path, text):
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(StoreError, match=r"metrics.csv is not a table of numbers"):
        read_columns(tmp_path / "metrics.csv")


class Toy(L.LightningModule):
    """Logs as alignlab's modules do: itself, inside a step of manual optimisation."""

    def __init__(self, kill_at: int = -1) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.layer = torch.nn.Linear(1, 1)
        self.kill_at = kill_at

    def training_step(self, batch, batch_idx):
        optimiser = self.optimizers()
        loss = (self.layer(batch + batch_idx) ** 2).mean()
        optimiser.zero_grad()
        self.manual_backward(loss)
        optimiser.step()
        extra = {"train/rare": float(loss) / 3} if batch_idx % 4 == 3 else {}
        metrics = {"samples": 2.0 * (batch_idx + 1), "train/loss": float(loss), **extra}
        self.logger.log_metrics(metrics, batch_idx)

    def on_train_batch_end(self, outputs, batch, batch_idx):
        if batch_idx == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(directory: Path, kill_at: int = -1, tracker=None) -> None:
    torch.manual_seed(0)
    log = MetricLog(directory, tracker=tracker)
    last = directory / "last.ckpt"
    checkpoints = ModelCheckpoint(directory, every_n_train_steps=3, save_top_k=0, save_last=True)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=1, logger=log, enable_model_summary=False, default_root_dir=directory,
        callbacks=[checkpoints, log.callback(), StageBar("toy")],
    )  # fmt: skip
    data = DataLoader(torch.zeros(20, 1), batch_size=2)
    trainer.fit(Toy(kill_at), data, ckpt_path=last if last.exists() else None)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kill_at", [2, 4, 7])
def test_a_killed_and_resumed_training_writes_the_same_bytes(tmp_path, capfd, kill_at):
    """Killed with the checkpoint of this very step on disk, before and after a new column appeared."""
    child = multiprocessing.get_context("fork").Process(target=fit, args=(tmp_path / "killed", kill_at))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert len(rows(tmp_path / "killed" / "metrics.csv")) == kill_at + 1
    recorder = Recorder()
    fit(tmp_path / "killed", tracker=recorder)
    fit(tmp_path / "whole")
    killed, whole = ((tmp_path / name / "metrics.csv").read_bytes() for name in ("killed", "whole"))
    assert killed == whole
    assert len(recorder.logged) == 10
    shown = capfd.readouterr().err
    assert "toy  10/10" in shown
    assert "loss " in shown
