"""The local page: a server on 127.0.0.1 whose every address holds a secret.

Completions are a stranger's text, and other pages in the same browser are strangers too. The page may run its own
script and nothing else, takes nothing from the network, and shows text as text. A request is answered only when it
names the secret and this very host, and changes something only when it comes from the page itself. Torch-free.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from alignlab.errors import AlignlabError, ConfigError
from alignlab.label.items import Showing
from alignlab.label.session import RefusedError, Session, StaleError, spoken

ADDRESS = "127.0.0.1"
LARGEST_BODY = 1 << 14
"""Bytes of an answer at most."""
PATIENCE = 10.0
"""Seconds a connection may stay silent."""
PAGES: Mapping[str, tuple[str, str]] = {
    "": ("page.html", "text/html"),
    "page.js": ("page.js", "text/javascript"),
    "page.css": ("page.css", "text/css"),
}
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class LabelServer(ThreadingHTTPServer):
    """Serves one session. `serve_forever` returns after the page says that the annotator is done, or `shutdown`."""

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, session: Session, port: int = 0) -> None:
        """Listen on a port of 127.0.0.1, a free one for 0. ConfigError when the port is taken."""
        self.session, self.token = session, secrets.token_urlsafe(24)
        self._shown: tuple[str, float] = ("", 0.0)
        try:
            super().__init__((ADDRESS, port), Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(f"--port {port} cannot be used: {error}", "leave it out to take a free one") from error
        self.hosts = frozenset(f"{name}:{self.server_port}" for name in (ADDRESS, "localhost"))

    @property
    def url(self) -> str:
        """Where the page is; whoever knows it may label."""
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"

    def state(self) -> dict[str, Any]:
        """What the page shows. Nothing in it says whose completions they are."""
        with self.session.lock:
            showing, progress = self.session.current(), self.session.progress()
            if showing is not None and self._shown[0] != showing.id:
                self._shown = (showing.id, time.monotonic())
            return {
                "done": progress.done,
                "total": progress.total,
                "left": spoken(progress.seconds_left),
                "showing": None if showing is None else blinded(showing),
            }

    def answer(self, body: Mapping[str, Any]) -> None:
        """Save an answer of the page: `id`, `ranks` by place or null, and `seconds` the question was in sight."""
        id, ranks, seconds = body.get("id"), body.get("ranks"), body.get("seconds")
        if not isinstance(id, str) or not (ranks is None or isinstance(ranks, list)):
            raise RefusedError("an answer has an id, and ranks or null")
        with self.session.lock:
            elapsed = time.monotonic() - self._shown[1] if self._shown[0] == id else 0.0
            if isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0:
                elapsed = min(float(seconds), elapsed)
            self.session.answer(id, ranks, elapsed)

    def undo(self, body: Mapping[str, Any]) -> None:
        """Take the last answer back."""
        self.session.undo()

    def finish(self, body: Mapping[str, Any]) -> None:
        """Nothing is left to save; `serve_forever` ends when this was replied to."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up in the middle is no event."""


def blinded(showing: Showing) -> dict[str, Any]:
    """What an annotator may know of a question."""
    prompt, shown = showing.prompt, [showing.completions[place] for place in showing.order]
    turns: list[tuple[str, str | None]] = [(role, content) for role, content in prompt.messages]
    return {
        "id": showing.id,
        "prompt": turns or [("text", prompt.text)],
        "completions": [{"text": each.text, "ended": each.ended} for each in shown],
    }


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: LabelServer
    timeout = PATIENCE
    server_version, sys_version = "alignlab", ""

    def do_GET(self) -> None:
        """The page, its script and style, and what it shows."""
        name = self._name()
        if name is None:
            return
        if name == "state":
            self._json(HTTPStatus.OK, self.server.state())
        elif name in PAGES:
            file, kind = PAGES[name]
            self._send(HTTPStatus.OK, files("alignlab.label").joinpath(file).read_bytes(), f"{kind}; charset=utf-8")
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        """An answer, undo, or the end; replied to when it is on the disk."""
        name = self._name()
        change = {"answer": self.server.answer, "undo": self.server.undo, "finish": self.server.finish}.get(name or "")
        if name is None:
            return
        if change is None:
            return self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        if self.headers.get("Origin") not in {f"http://{host}" for host in self.server.hosts}:
            return self._refuse(HTTPStatus.FORBIDDEN, "only the page itself may change anything")
        body = self._body()
        if body is None:
            return self._refuse(HTTPStatus.BAD_REQUEST, "an answer is a small JSON object")
        self._change(change, body)
        if name == "finish":  # shutdown waits for serve_forever, which no request may do
            threading.Thread(target=self.server.shutdown, daemon=True).start()

    def _change(self, change: Callable[[Mapping[str, Any]], None], body: Mapping[str, Any]) -> None:
        """Do it and reply with what the page shows next, or with what went wrong."""
        try:
            change(body)
        except StaleError:
            self._json(HTTPStatus.CONFLICT, self.server.state())
        except RefusedError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, error.message)
        except AlignlabError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        else:
            self._json(HTTPStatus.OK, self.server.state())

    def _name(self) -> str | None:
        """What is asked for, below the secret; None after refusing who does not know it."""
        if self.headers.get("Host") not in self.server.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, "this server answers to its own address only")
            return None
        token, slash, name = self.path.removeprefix("/").partition("/")
        if not slash or not secrets.compare_digest(token.encode("latin-1", "replace"), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "the address is not complete: open the one that was printed")
            return None
        return name

    def _body(self) -> dict[str, Any] | None:
        """The JSON object of a request that is marked as one; a form of another page cannot be."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json" or not length.isdecimal():
            return None
        if int(length) > LARGEST_BODY:
            return None
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            return None
        return body if isinstance(body, dict) else None

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._json(status, {"error": why})

    def _json(self, status: HTTPStatus, content: object) -> None:
        self._send(status, json.dumps(content).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are nobody's concern, and their addresses hold the secret."""
