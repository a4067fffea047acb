"""The page's server, asked as a browser, a stranger and another page would ask it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from label_inputs import planned, run, session, three
from support import ROOT

from alignlab.errors import ConfigError
from alignlab.label.server import LabelServer
from alignlab.label.store import read_labels


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "labels.jsonl"


@pytest.fixture
def server(tmp_path: Path, out: Path) -> Iterator[LabelServer]:
    runs = [run(tmp_path / name, name) for name in ("red", "green", "blue")]
    with LabelServer(session(planned(*runs, repeat=0.1), out)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Client:
    """A browser's requests, or those of others."""

    def __init__(self, url: str) -> None:
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([^/]+)/", url)
        assert found
        self.port, self.token = int(found[1]), found[2]
        self.host = f"127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str | None] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, content and headers; a header of None is not sent."""
        sent = {"Host": self.host, **(headers or {})}
        if method == "POST":
            sent = {"Origin": f"http://{self.host}", "Content-Type": "application/json"} | sent
        data = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.items():
            if value is not None:
                connection.putheader(name, value)
        if data is not None and "Content-Length" not in sent:
            connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        kind = reply.headers.get_content_type()
        return reply.status, json.loads(content) if kind == "application/json" else content, dict(reply.headers)

    def state(self) -> dict[str, Any]:
        status, content, _ = self.ask("GET", f"/{self.token}/state")
        assert status == 200
        return dict(content)

    def answer(self, ranks: list[int] | None, **more: Any) -> tuple[int, Any]:
        body = {"id": self.state()["showing"]["id"], "ranks": ranks, "seconds": 0.001}
        return self.ask("POST", f"/{self.token}/answer", body | more)[:2]


@pytest.fixture
def client(server: LabelServer) -> Client:
    return Client(server.url)


def test_listens_on_this_machine_alone(server: LabelServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.server_port > 0
    assert len(server.token) >= 32
    with pytest.raises(ConfigError, match=f"--port {server.server_port} cannot be used"):
        LabelServer(server.session, server.server_port)


@pytest.mark.parametrize("path", ["/", "/state", "/wrong/", "/wrong/state", "/{half}/state", "/{token}", "/%00/", "//"])
def test_a_wrong_secret_gets_nothing(path: str, client: Client) -> None:
    path = path.format(half=client.token[:-1], token=client.token)
    status, content, _ = client.ask("GET", path)
    assert (status, list(content)) == (403, ["error"])


def test_a_wrong_secret_changes_nothing(client: Client, out: Path) -> None:
    body = {"id": client.state()["showing"]["id"], "ranks": [1, 2], "seconds": 1}
    assert client.ask("POST", "/wrong/answer", body)[0] == 403
    assert out.read_text() == ""


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "evil.example:{port}", "", None])
def test_another_host_is_refused(host: str | None, client: Client) -> None:
    sent = host.format(port=client.port) if host is not None else None
    assert client.ask("GET", f"/{client.token}/state", headers={"Host": sent})[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": None},
        {"Origin": "http://127.0.0.1:1"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": None},
    ],
    ids=str,
)
def test_another_page_changes_nothing(headers: dict[str, str | None], client: Client, out: Path) -> None:
    body = {"id": client.state()["showing"]["id"], "ranks": [1, 2], "seconds": 1}
    for name in ("answer", "undo", "finish"):
        assert client.ask("POST", f"/{client.token}/{name}", body, headers)[0] in (400, 403)
    assert out.read_text() == ""
    assert client.state()["done"] == 0


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"[" * 9000, b"{}" + b" " * 20000, {"id": 1, "ranks": None}, {"id": "x", "ranks": "1"}],
    ids=lambda body: str(body)[:20],
)
def test_bodies_that_are_no_answers(body: Any, client: Client, out: Path) -> None:
    assert client.ask("POST", f"/{client.token}/answer", body)[0] == 400
    assert out.read_text() == ""


@pytest.mark.parametrize("ranks", [[1], [1, 3], ["1", 2], [[], []], [None, None], [True, True]])
def test_ranks_that_do_not_fit(ranks: Any, client: Client, out: Path) -> None:
    status, content = client.answer(ranks)
    assert (status, content["error"]) == (400, f"ranks must be 2 numbers from 1 to 2, got {ranks!r}")
    assert out.read_text() == ""


def test_other_requests(client: Client) -> None:
    assert client.ask("GET", f"/{client.token}/labels.jsonl")[0] == 404
    assert client.ask("GET", f"/{client.token}/../session.py")[0] == 404
    assert client.ask("POST", f"/{client.token}/state", {})[0] == 404
    assert client.ask("DELETE", f"/{client.token}/state")[0] == 501


def test_every_reply_forbids_what_the_page_does_not_need(client: Client) -> None:
    for name, kind in (("", "text/html"), ("page.js", "text/javascript"), ("page.css", "text/css"), ("state", "json")):
        status, _, headers = client.ask("GET", f"/{client.token}/{name}")
        assert status == 200
        assert kind in headers["Content-Type"]
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert not [name for name in headers if name.startswith("Access-Control")]
    assert client.ask("GET", "/x")[2]["Content-Security-Policy"] == policy


def test_the_page_holds_neither_inline_code_nor_other_addresses(client: Client) -> None:
    for name in ("", "page.js", "page.css"):
        text = client.ask("GET", f"/{client.token}/{name}")[1].decode()
        assert not re.search(r"https?://|//\w+\.|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
    page = client.ask("GET", f"/{client.token}/")[1].decode()
    assert re.findall(r"<script[^>]*>(.*?)</script>", page) == [""]
    assert not re.search(r"\son\w+=|style=|<style", page)


def test_the_annotator_is_not_told_whose_completions_they_are(client: Client, tmp_path: Path) -> None:
    told = json.dumps({**client.state(), "again": client.answer([1, 2])})
    texts = [completion["text"] for completion in client.state()["showing"]["completions"]]
    assert all(text in json.dumps(client.state()) for text in texts)
    for secret in ("method", 'seed"', "settings", "repeat", str(tmp_path), "gold", "order"):
        assert secret not in told


def test_a_label_is_saved_before_the_reply(client: Client, out: Path) -> None:
    for number in range(1, 6):
        status, content = client.answer([1, 2])
        assert (status, content["done"]) == (200, number)
        assert len(out.read_text().splitlines()) == number


def test_ties_skips_and_undo(client: Client, out: Path) -> None:
    client.answer([1, 1])
    client.answer(None)
    assert [label.answer for label in read_labels(out)] == ["tie", "skip"]
    before = client.state()["showing"]["id"]
    status, content, _ = client.ask("POST", f"/{client.token}/undo", {})
    assert (status, content["done"]) == (200, 1)
    assert content["showing"]["id"] != before
    assert [label.answer for label in read_labels(out)] == ["tie"]


def test_a_second_click_is_no_second_label(client: Client, out: Path) -> None:
    id = client.state()["showing"]["id"]
    assert client.answer([1, 2], id=id)[0] == 200
    status, content = client.answer([2, 1], id=id)
    assert (status, content["done"]) == (409, 1)
    assert len(read_labels(out)) == 1


@pytest.mark.parametrize("claimed", [1e9, -1, "x", None, True])
def test_seconds_are_no_more_than_passed(claimed: Any, client: Client, out: Path) -> None:
    client.state()
    time.sleep(0.02)
    client.answer([1, 2], seconds=claimed)
    assert 0 <= read_labels(out)[0].seconds < 10


def test_many_at_once_are_one_after_another(client: Client, out: Path) -> None:
    id = client.state()["showing"]["id"]
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(client.answer([1, 2], id=id)[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200] + [409] * 7
    assert len(read_labels(out)) == 1


def test_a_disk_that_refuses_is_said(client: Client, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    status, content = client.answer([1, 2])
    monkeypatch.undo()
    assert status == 500
    assert "No space left on device" in content["error"]
    assert client.state()["done"] == 0
    assert client.answer([1, 2])[0] == 200


def test_to_the_end(client: Client, out: Path) -> None:
    total = client.state()["total"]
    while client.state()["showing"]:
        client.answer([2, 1])
    assert client.state()["done"] == total == len(read_labels(out))


def started(folder: Path) -> tuple[subprocess.Popen[str], Client]:
    command = [sys.executable, "-m", "alignlab", "label", "x.jsonl", "--no-open", "--repeat", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Client(process.stdout.readline().strip())


def test_killed_between_clicks_loses_nothing(tmp_path: Path) -> None:
    three(tmp_path / "x.jsonl")
    ids: list[str] = []
    for round in range(3):
        process, client = started(tmp_path)
        try:
            assert client.state()["done"] == len(ids)
            for _ in range(3):
                ids.append(client.state()["showing"]["id"])
                assert client.answer([1, 2])[0] == 200
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert [label.id for label in read_labels(tmp_path / "labels.jsonl")] == ids, round
    assert len(set(ids)) == 9


def test_one_session_a_file_and_an_orderly_end(tmp_path: Path) -> None:
    three(tmp_path / "x.jsonl")
    process, client = started(tmp_path)
    try:
        client.answer([1, 2])
        second = subprocess.run(
            [sys.executable, "-m", "alignlab", "label", "x.jsonl"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 1
        assert "another session writes labels.jsonl" in second.stderr
        assert client.ask("POST", f"/{client.token}/finish", {})[0] == 200
        said = process.communicate(timeout=20)[0]
        assert process.returncode == 0
        assert "1 label of 1 person: 1 choice" in said
    finally:
        process.kill()
        process.wait()


def test_interrupted_is_no_failure(tmp_path: Path) -> None:
    three(tmp_path / "x.jsonl")
    process, client = started(tmp_path)
    client.answer([1, 2])
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)[0]
    assert process.returncode == 0
    assert "1 label of 1 person: 1 choice" in said
    assert len(read_labels(tmp_path / "labels.jsonl")) == 1
