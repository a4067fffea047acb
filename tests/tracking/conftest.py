"""A machine without the person's own wandb settings, and a server that notices every request."""

from __future__ import annotations

import http.server
import os
import threading
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def listening():
    """A server that refuses every request and remembers it. One for all tests: wandb keeps its first settings."""
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            requests.append(self.path)
            self.send_error(401)

        do_GET = do_CONNECT = do_POST

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_address[1]}", requests
        found.shutdown()


@pytest.fixture
def server(home, monkeypatch, listening) -> list[str]:
    """What wandb and every client that knows proxies asked for, there instead of on the network."""
    address, requests = listening
    requests.clear()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "WANDB_BASE_URL"):
        monkeypatch.setenv(name, address)
    return requests


@pytest.fixture
def home(monkeypatch, tmp_path) -> Path:
    """A home without settings or keys of the person who runs the tests."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home))
    return home
