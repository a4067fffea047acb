"""A headless browser spoken to over a pipe: enough to press keys, click, drag, and read what stands on a page."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import chromium

FLAGS = (*chromium.FLAGS, "--disable-dev-shm-usage", "--remote-debugging-pipe")
KEYS = {"Enter": 13, "Escape": 27, " ": 32, "Tab": 9}


class Browser:
    """One tab. Use as a context."""

    def __init__(self, program: str, profile: Path) -> None:
        to_child, self._to = os.pipe()
        self._from, from_child = os.pipe()
        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # The browser reads from descriptor 3 and writes to 4; a shell puts ours there whatever their numbers.
        shell = f'exec 3<&{to_child} 4>&{from_child}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(to_child, from_child),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_child)
        os.close(from_child)
        self._number, self._buffer, self._session = 0, b"", ""
        self.events: list[dict[str, Any]] = []
        pages = self.ask("Target.getTargets")["targetInfos"]
        target = next(each["targetId"] for each in pages if each["type"] == "page")
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._next()
            if reply.get("id") == self._number:
                assert "error" not in reply, reply
                return dict(reply["result"])
            self.events.append(reply)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._from, 1 << 16)
            assert data, "the browser has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def open(self, url: str) -> None:
        self.ask("Page.navigate", url=url)

    def value(self, code: str) -> Any:
        """What an expression of JavaScript gives on the page."""
        reply = self.ask("Runtime.evaluate", expression=code, returnByValue=True)
        assert "exceptionDetails" not in reply, reply
        return reply["result"].get("value")

    def until(self, code: str, seconds: float = 15) -> Any:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not (found := self.value(code)):
            assert time.monotonic() < end, f"{code} stays false: {self.value('document.body.innerText')}"
            time.sleep(0.02)
        return found

    def press(self, key: str) -> None:
        """A key as a keyboard sends it."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
        event = {"key": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **event)

    def middle(self, selector: str) -> tuple[float, float]:
        """Where an element is."""
        found = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        box = self.value(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({found})")
        return box[0], box[1]

    def click(self, selector: str) -> None:
        """A press and release of the mouse in the middle of an element."""
        x, y = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def drag(self, source: str, target: str) -> None:
        """Take an element with the mouse and drop it on another."""
        (x, y), (to_x, to_y) = self.middle(source), self.middle(target)
        self.ask("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1)
        steps = 8
        for step in range(1, steps + 1):
            at_x, at_y = x + (to_x - x) * step / steps, y + (to_y - y) * step / steps
            self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=at_x, y=at_y, button="left", buttons=1)
        self.ask("Input.dispatchMouseEvent", type="mouseReleased", x=to_x, y=to_y, button="left", clickCount=1)

    def size(self, width: int, height: int = 844) -> None:
        """The window's size."""
        device = {"deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, **device)

    def colours(self, scheme: str) -> None:
        """`light` or `dark`, with a mouse."""
        features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "hover", "value": "hover"}]
        self.ask("Emulation.setEmulatedMedia", features=features)

    def picture(self, path: Path) -> None:
        """A picture of what is seen."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))
