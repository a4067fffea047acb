"""A sweep whose workers and parent are killed, whose files are torn and whose store is removed: nothing is lost."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from endtoend_runs import TINY

SWEEP = ["-m", *TINY, "algo=dpo,ipo", "seed=0,1", "algo.epochs=1", "algo.batch_size=8", "algo.lr=1e-3", "workers=2"]


def command(folder: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "alignlab",
        *SWEEP,
        f"hydra.sweep.dir={folder / 'sweep'}",
        f"store={folder / 'store'}",
    ]


def start(folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    return subprocess.Popen(
        command(folder), cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(folder: Path) -> tuple[int, str]:
    process = start(folder)
    out, errors = process.communicate(timeout=400)
    return process.returncode, out + errors


def figures(folder: Path) -> dict[str, Any]:
    """What the leaderboard says of every row, costs in seconds aside."""
    content = json.loads((folder / "sweep" / "leaderboard.json").read_text())
    kept = ("label", "seeds", "metrics", "gain", "strata", "tiers")
    rows = [{name: row.get(name) for name in kept} for row in content["rows"]]
    return {"rows": rows, "failures": content["failures"], "answer": content["answer"]}


def workers_of(parent: int) -> list[int]:
    """Processes of the sweep's own workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def until(process: subprocess.Popen[str], condition: Any, seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    code, said = finish(folder)
    assert code == 0, said
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="finds workers in /proc")
def test_killed_workers_and_parents_lose_nothing(whole: Path, tmp_path: Path) -> None:
    folder, draw = tmp_path / "harmed", random.Random(os.getpid())
    process = start(folder)
    until(process, lambda: len(workers_of(process.pid)) == 2)
    time.sleep(draw.uniform(4, 12))
    victims = workers_of(process.pid)
    assert victims
    os.kill(draw.choice(victims), signal.SIGKILL)
    out, errors = process.communicate(timeout=400)
    assert process.returncode == 1, "the killed job is a failure of the sweep"
    assert "killed by signal 9" in out + errors
    process = start(folder)
    until(process, lambda: len(workers_of(process.pid)) >= 1)
    time.sleep(draw.uniform(1, 6))
    left = workers_of(process.pid)
    process.kill()
    process.communicate(timeout=60)
    end = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/cmdline").is_file() and b"worker" in cmdline(pid) for pid in left):
        assert time.monotonic() < end, "workers end with their parent"
        time.sleep(0.1)
    code, said = finish(folder)
    assert code == 0, said
    assert figures(folder) == figures(whole)


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.slow
def test_torn_files_and_a_removed_store(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    before = figures(folder)
    (folder / "sweep" / "1-dpo-seed1" / "result.json").write_text('{"schema": 1, "metrics": {"eval/go')
    (folder / "sweep" / "2-ipo-seed0" / "job.json").write_bytes(b"\x00\xff")
    code, said = finish(folder)
    assert code == 0, said
    assert "4 jobs, 2 of them done before" in said
    assert figures(folder) == before
    shutil.rmtree(folder / "store")
    (folder / "sweep" / "leaderboard.json").write_text("")
    code, said = finish(folder)
    assert code == 0, said
    assert "4 jobs, 4 of them done before" in said, "finished runs need no store"
    assert figures(folder) == before


@pytest.mark.slow
def test_ctrl_c_stops_soon_and_the_same_command_goes_on(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    process = start(folder)
    until(process, lambda: (folder / "sweep").is_dir() and any((folder / "sweep").glob("*/log.txt")))
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 130, out + errors
    assert "goes on where this one stopped" in errors
    code, said = finish(folder)
    assert code == 0, said
    assert figures(folder) == figures(whole)
