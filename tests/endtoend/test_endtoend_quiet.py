"""A run reaches no network unless told to, and prints nothing but its own plain lines.

These runs start as a user's do.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from endtoend_runs import DPO, PPO, SFT, command

ROOT = Path(__file__).resolve().parents[2]
GUARD = """
import os, socket

def refuse(*args, **kwargs):
    with open(os.environ["NETWORK_LOG"], "a") as log:
        log.write(f"{args}\\n")
    raise OSError("no network in this test")

class Socket(socket.socket):
    def connect(self, address):
        return super().connect(address) if self.family == socket.AF_UNIX else refuse(address)
    def connect_ex(self, address):
        return super().connect_ex(address) if self.family == socket.AF_UNIX else refuse(address)
    def sendto(self, *args):
        return super().sendto(*args) if self.family == socket.AF_UNIX else refuse(args[-1])

socket.socket = Socket
socket.getaddrinfo = socket.gethostbyname = socket.create_connection = refuse
"""
SWITCHES = re.compile("OFFLINE|^HF_|^WANDB|TELEMETRY|DO_NOT_TRACK|WARNINGS|VERBOSITY|TOKENIZERS")
OWN = (
    r"\w+ on desk, seed 0; stages in .*",
    r"(SFT|reward model|reward model, held-out labels|\w+, seed 0)  \d+/\d+  [\d,.e+]+ samples/s  .*(left|in .* s)",
    r"  pair accuracy .* on \d+ unseen labels, .* against gold, calibration error .*",
    r"warning: the reward model orders only \d+% of unseen pairs: methods trained on it chase noise",
    r"wandb records offline; to send it later: wandb sync .*",
    # Of whatever took over two seconds, as anything may on a busy machine.
    r"[\w ,-]+  \d+/\d+  [\d,.e+-]+ batches/s  .*(left|in .* s)",
    r"waiting for .*, which process \d+ on .* computes",
)


def run(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD)
    kept = {name: value for name, value in os.environ.items() if not SWITCHES.search(name)}
    environment = {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(folder / "guard"), str(ROOT)]),
        "NETWORK_LOG": str(folder / "network"),
        "HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
    }
    words = [sys.executable, "-m", "alignlab", *command(arguments, folder / "run", folder / "store")]
    return subprocess.run(words, cwd=folder, env=environment, text=True, capture_output=True, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [[*PPO, "tracking=wandb", "overlap=true"], DPO, SFT], ids=["ppo with wandb", "dpo", "sft"]
)
def test_no_network_and_no_stray_line(tmp_path: Path, arguments: list[str]) -> None:
    done = run(tmp_path, arguments)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "network").exists(), (tmp_path / "network").read_text()
    strange = [line for line in done.stderr.splitlines() if not any(re.fullmatch(own, line) for own in OWN)]
    assert strange == []
    assert "\x1b" not in done.stdout + done.stderr, "no colours or cursor movements outside a terminal"
    assert "\r" not in done.stdout + done.stderr, "no bar that redraws itself"
    assert done.stdout.lstrip().startswith(f"{arguments[0][5:]} on desk, seed 0")
    left = {path.name for path in tmp_path.iterdir()} - {"home"}
    assert left == {"guard", "run", "store"}, "nothing is written elsewhere"
    if "tracking=wandb" in arguments:
        assert list(tmp_path.glob("run/wandb/offline-run-*/*.wandb"))


def test_the_guard_works(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(GUARD)
    script = "import urllib.request; urllib.request.urlopen('http://example.org')"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NETWORK_LOG": str(tmp_path / "network")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=60)
    assert done.returncode != 0
    assert "example.org" in (tmp_path / "network").read_text()
