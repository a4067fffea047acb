"""Jobs in processes of their own, with a worker that does what the seed says instead of training."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from alignlab.errors import ConfigError
from alignlab.launch import record
from alignlab.launch.jobs import Job
from alignlab.launch.pool import Ended, Pool, Watch
from alignlab.launch.sweep import planned

WORKER = """
import json, os, signal, sys, time
sys.path.insert(0, {root!r})
from alignlab.launch.order import Order
def say(**message):
    print(json.dumps(message), flush=True)
def stop(*_):
    say(end=130, reason="interrupted", seconds=0.1)
    sys.exit(0)
signal.signal(signal.SIGINT, stop)
for line in sys.stdin.buffer:
    order = Order.read(line)
    seed = order.settings.seed
    (order.folder / "pid").write_text(str(os.getpid()))
    say(stage="SFT", done=1, total=2)
    if seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 2:
        say(end=1, reason="the loss is not finite at step 3", seconds=0.1)
        sys.exit(0)
    if seed == 3:
        time.sleep(600)
    if seed == 4:
        sys.exit(7)
    (order.folder / "result.json").write_text(json.dumps({{"schema": 1}}))
    say(end=0, reason="", seconds=0.1)
"""


@pytest.fixture
def program(tmp_path: Path) -> Sequence[str]:
    path = tmp_path / "worker.py"
    path.write_text(WORKER.format(root=str(Path(record.__file__).parents[2])))
    return (sys.executable, str(path))


def jobs(folder: Path, *seeds: int) -> tuple[Job, ...]:
    listed = ",".join(map(str, seeds))
    return planned(["algo=dpo", f"seed={listed}", f"hydra.sweep.dir={folder}"]).jobs


class Heard:
    """What a pool tells."""

    def __init__(self) -> None:
        self.began: list[Job] = []
        self.moved: list[tuple[Job, dict[str, object]]] = []
        self.ended: list[Ended] = []

    def watch(self) -> Watch:
        return Watch(
            began=self.began.append, moved=lambda job, told: self.moved.append((job, told)), ended=self.ended.append
        )


def status(job: Job) -> tuple[str, str]:
    found = json.loads((job.folder / record.JOB).read_text())
    return found["status"], found["reason"]


def test_failed_killed_and_silent_jobs_do_not_touch_the_others(tmp_path: Path, program: Sequence[str]) -> None:
    wanted, heard = jobs(tmp_path / "sweep", 0, 1, 2, 4, 5, 6), Heard()
    ended = Pool(2, heard.watch(), "group", program).run(wanted)
    found = {each.job.settings.seed: (each.status, each.reason) for each in ended}
    assert {seed for seed, (state, _) in found.items() if state == "done"} == {0, 5, 6}
    assert found[1][0] == "killed"
    assert "signal 9" in found[1][1]
    assert found[2] == ("failed", "the loss is not finite at step 3")
    assert found[4][0] == "killed"
    assert "code 7" in found[4][1]
    assert {job.settings.seed: status(job) for job in wanted} == found
    assert [job for job in wanted if record.finished(job)] == [job for job in wanted if job.settings.seed in (0, 5, 6)]
    assert {job.settings.seed for job, _ in heard.moved} >= {0, 1}


def test_workers_are_kept_for_the_next_job(tmp_path: Path, program: Sequence[str]) -> None:
    wanted = jobs(tmp_path / "sweep", 0, 5, 6)
    Pool(1, Heard().watch(), "group", program).run(wanted)
    assert len({(job.folder / "pid").read_text() for job in wanted}) == 1


def test_jobs_that_take_too_long_are_ended(tmp_path: Path, program: Sequence[str]) -> None:
    wanted = jobs(tmp_path / "sweep", 3, 0)
    for job in wanted:
        job.settings.job_minutes = 0.05
    ended = Pool(1, Heard().watch(), "group", program).run(wanted)
    assert [(each.status, each.reason) for each in ended] == [
        ("killed", "took longer than job_minutes=0.05"),
        ("done", ""),
    ]


def test_ctrl_c_lets_running_jobs_stop_and_leaves_the_rest(tmp_path: Path, program: Sequence[str]) -> None:
    wanted, heard = jobs(tmp_path / "sweep", 0, 3, 5), Heard()

    def press() -> None:
        while not any(job.settings.seed == 3 for job, _ in heard.moved):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        Pool(1, heard.watch(), "group", program).run(wanted)
    assert [status(job)[0] for job in wanted[:2]] == ["done", "interrupted"]
    assert not wanted[2].folder.exists()


def test_only_the_whole_result_of_just_this_job_counts(tmp_path: Path) -> None:
    (job,) = jobs(tmp_path / "sweep", 0)
    assert not record.finished(job)
    record.begin(job)
    (job.folder / record.RESULT).write_text('{"schema": 1}')
    assert not record.finished(job), "it may still be running"
    record.end(job, "done", "", 1.0)
    assert record.finished(job)
    (job.folder / record.RESULT).write_text('{"sche')
    assert not record.finished(job), "a torn result is computed again"
    (job.folder / record.RESULT).write_text('{"schema": 1}')
    (other,) = planned(["algo=dpo", "data.pairs=77", f"hydra.sweep.dir={tmp_path / 'sweep'}"]).jobs
    assert other.folder == job.folder
    assert not record.finished(other), "the folder holds another job's result"
    with pytest.raises(ConfigError, match="holds the result of another job"):
        record.refuse_others([other])
    record.refuse_others([job])
    record.begin(job)
    assert not (job.folder / record.RESULT).exists()


def test_a_touched_file_of_data_sends_the_job_to_the_store_again(tmp_path: Path) -> None:
    rows = tmp_path / "pairs.jsonl"
    rows.write_text("{}\n")
    words = ["algo=dpo", "data=files", f"data.path={rows}", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    (job,) = planned(words).jobs
    before = record.address(job)
    assert record.address(planned(words).jobs[0]) == before
    rows.write_text('{"prompt": "corrected"}\n')
    assert record.address(job) != before


def test_a_disk_that_refuses_fails_the_job_alone(tmp_path: Path, program: Sequence[str]) -> None:
    wanted = jobs(tmp_path / "sweep", 0, 5)
    wanted[0].folder.parent.mkdir()
    wanted[0].folder.write_text("a file is in the way")
    ended = Pool(1, Heard().watch(), "group", program).run(wanted)
    assert [each.status for each in ended] == ["failed", "done"]
    assert "0-dpo-seed0" in ended[0].reason
