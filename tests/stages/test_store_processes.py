"""Several real processes that want one stage: one computes, the others wait, and a killed one is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alignlab.stages.key import StageKey
from alignlab.stages.store import Store

pytestmark = pytest.mark.timeout(60)

KEY = StageKey("sft", {"lr": 0.1})
SCRIPT = """
import os, sys, time
from pathlib import Path
from alignlab.stages.key import StageKey
from alignlab.stages.store import Store

here = Path(sys.argv[1])

def build(work):
    with open(here / "computed", "a") as log:
        log.write(f"{os.getpid()}\\n")
    if len(sys.argv) > 2 and os.fork() == 0:
        (here / "orphan").write_text(str(os.getpid()))
        time.sleep(60)
        os._exit(0)
    while not (here / "go").exists():
        time.sleep(0.01)
    (work.out / "model").write_text("weights")

store = Store(here / "store", lambda line: print(line, flush=True))
print(store.produce(StageKey("sft", {"lr": 0.1}), build, label="SFT").content, flush=True)
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes that want the stage and ends those still there afterwards."""
    (tmp_path / "script.py").write_text(SCRIPT)
    running: list[subprocess.Popen[str]] = []

    def launch(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path), *options]
        paths = os.pathsep.join(str(path) for path in sys.path if path)
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
        )
        running.append(process)
        return process

    yield launch
    for process in running:
        process.kill()
        process.communicate()


def computing(folder: Path, count: int = 1) -> list[int]:
    """Wait until `count` processes have begun to compute; their ids."""
    return until(
        lambda: (
            [int(line) for line in text.split()] if len((text := read(folder / "computed")).split()) == count else None
        )
    )


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def until(condition: Callable[[], object]) -> object:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("did not happen within 30 s")


def test_one_computes_and_the_others_wait(tmp_path: Path, start: Start) -> None:
    first = start()
    assert computing(tmp_path) == [first.pid]
    others = [start(), start()]
    host = os.uname().nodename
    for other in others:
        assert other.stdout.readline() == f"waiting for SFT, which process {first.pid} on {host} computes\n"
    (tmp_path / "go").touch()
    contents = {process.communicate(timeout=30)[0] for process in (first, *others)}
    assert contents == {Store(tmp_path / "store").get(KEY).content + "\n"}
    assert computing(tmp_path) == [first.pid]


def test_a_killed_process_is_replaced(tmp_path: Path, start: Start) -> None:
    first = start()
    computing(tmp_path)
    second = start()
    assert second.stdout.readline().startswith("waiting for SFT")
    first.send_signal(signal.SIGKILL)
    assert computing(tmp_path, 2) == [first.pid, second.pid]
    (tmp_path / "go").touch()
    assert second.communicate(timeout=30)[0].strip() == Store(tmp_path / "store").get(KEY).content


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_worker_that_outlives_a_killed_process_does_not_keep_the_lock(tmp_path: Path, start: Start) -> None:
    first = start("fork")
    orphan = int(until(lambda: read(tmp_path / "orphan")))
    try:
        second = start()
        assert second.stdout.readline().startswith("waiting for SFT")
        first.send_signal(signal.SIGKILL)
        first.wait(30)
        assert computing(tmp_path, 2) == [first.pid, second.pid]
        os.kill(orphan, 0)
        (tmp_path / "go").touch()
        assert second.wait(30) == 0
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_waiting_can_be_interrupted(tmp_path: Path, start: Start) -> None:
    first = start()
    computing(tmp_path)
    second = start()
    second.stdout.readline()
    second.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in second.communicate(timeout=10)[1]
    (tmp_path / "go").touch()
    assert first.wait(30) == 0


def test_different_stages_do_not_wait_for_each_other(tmp_path: Path, start: Start) -> None:
    start()
    computing(tmp_path)
    said: list[str] = []
    other = StageKey("sft", {"lr": 0.2})
    Store(tmp_path / "store", said.append).produce(other, lambda work: (work.out / "x").touch(), label="other")
    assert said == []


def test_threads_of_one_process_share_too(tmp_path: Path) -> None:
    store, calls, results = Store(tmp_path / "store"), [], []

    def build(work: object) -> None:
        calls.append(1)
        time.sleep(0.3)
        (work.out / "x").write_text("x")

    threads = [
        threading.Thread(target=lambda: results.append(store.produce(KEY, build, label="SFT"))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len({found.content for found in results}) == 1
    assert len(results) == 3


def test_a_damaged_result_is_not_taken_from_a_process_that_replaces_it(tmp_path: Path, start: Start) -> None:
    (tmp_path / "go").touch()
    assert start().wait(30) == 0
    found = Store(tmp_path / "store").get(KEY)
    found.file("model").write_text("xxxxxxx")
    (tmp_path / "go").unlink()
    first = start()
    assert "is damaged: model was edited" in first.stdout.readline()
    computing(tmp_path, 2)
    said: list[str] = []
    assert Store(tmp_path / "store", said.append).get(KEY) is None
    (tmp_path / "go").touch()
    assert first.wait(30) == 0
    assert Store(tmp_path / "store", said.append).get(KEY).content == found.content
    assert said == []
