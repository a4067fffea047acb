"""The page in a real browser: keys, mouse, phone width, and completions that try to be more than text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import chromium
import pytest
from label_browser import Browser
from label_inputs import planned, rows, session, three

from alignlab.label.server import LabelServer
from alignlab.label.store import read_labels

pytestmark = chromium.needed

HOSTILE = (
    "<script>document.title = 'owned'; window.owned = 1</script>",
    "</p></section></script><script>window.owned = 1</script>",
    "<img src=x onerror=\"window.owned = 1; document.title = 'owned'\">",
    "<svg onload='window.owned = 1'><iframe srcdoc='<script>parent.owned = 1</script>'></iframe></svg>",
    "<a href=\"javascript:window.owned=1\" autofocus onfocus='window.owned = 1'>x</a>",
    "<style>body { display: none }</style><link rel=stylesheet href=https://evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>{{7*7}}${window.owned = 1}`",
    "\u2028\u2029\u202e]]> --> \x00 <!-- ",
)
CARDS = "[...document.querySelectorAll('.card')].map(card => card.querySelector('.text-of').textContent)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert chromium.PROGRAM is not None
    with Browser(chromium.PROGRAM, tmp_path_factory.mktemp("profile")) as browser:
        browser.size(1280)
        yield browser


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., LabelServer]]:
    """Start a server over a file of rows; its labels are in labels.jsonl."""
    running: list[tuple[LabelServer, threading.Thread]] = []

    def start(file: Path, rank: bool = False) -> LabelServer:
        server = LabelServer(session(planned(file, rank=rank), tmp_path / "labels.jsonl"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def placed(path: Path) -> list[list[int] | None]:
    return [None if one.ranks is None else [one.ranks[at] for at in one.order] for one in read_labels(path)]


def begun(browser: Browser, server: LabelServer) -> None:
    browser.events.clear()
    browser.open(server.url)
    browser.until("document.querySelectorAll('.card').length > 1")


def done(browser: Browser, count: int) -> None:
    browser.until(f"document.getElementById('progress').textContent.startsWith('{count} of')")


def test_hostile_completions_are_text(browser: Browser, serve: Callable[..., LabelServer], tmp_path: Path) -> None:
    both = zip(HOSTILE[::2], HOSTILE[1::2], strict=True)
    content = [{"prompt": first, "completions": [first, second]} for first, second in both]
    server = serve(rows(tmp_path / "x.jsonl", content))
    begun(browser, server)
    seen: set[str] = set()
    for number in range(1, 5):
        cards = browser.value(CARDS)
        seen |= set(cards)
        assert browser.value("document.querySelector('#prompt .text-of').textContent") in cards
        browser.press("1")
        done(browser, number)
    assert seen == set(HOSTILE)
    assert browser.value("document.title") == "Which is better?"
    assert browser.value("typeof window.owned") == "undefined"
    assert browser.value("document.querySelectorAll('img, svg, iframe, a, style, meta[http-equiv]').length") == 0
    assert browser.value("document.scripts.length") == 1
    sent = [event["params"] for event in browser.events if event["method"] == "Network.requestWillBeSent"]
    asked = [each["request"]["url"] for each in sent]
    assert asked
    assert all(url.startswith((server.url, "data:,")) for url in asked)


def test_the_policy_stops_what_a_mistake_would_let_through(
    browser: Browser, serve: Callable[..., LabelServer], tmp_path: Path
) -> None:
    begun(browser, serve(three(tmp_path / "x.jsonl")))
    code = "try {{ document.body.append(Object.assign(document.createElement('{tag}'), {{ {what} }})) }} catch (e) {{}}"
    browser.value(code.format(tag="script", what="textContent: 'window.owned = 1'"))
    browser.value("try { document.body.innerHTML += '<img src=x onerror=window.owned=1>' } catch (e) {}")
    browser.value("fetch('http://127.0.0.1:9/').catch(() => { window.blocked = 1 })")
    browser.until("window.blocked === 1")
    assert browser.value("typeof window.owned") == "undefined"


def test_keys_alone(browser: Browser, serve: Callable[..., LabelServer], tmp_path: Path) -> None:
    begun(browser, serve(three(tmp_path / "x.jsonl")))
    for number, key in enumerate("12ts", start=1):
        browser.press(key)
        done(browser, number)
    assert placed(tmp_path / "labels.jsonl") == [[1, 2], [2, 1], [1, 1], None]
    browser.press("u")
    done(browser, 3)
    for _ in range(2):
        browser.press("Tab")
    assert browser.value("document.activeElement.dataset.place") == "1"
    browser.press("Enter")
    done(browser, 4)
    assert placed(tmp_path / "labels.jsonl")[3] == [2, 1]


def test_clicks(browser: Browser, serve: Callable[..., LabelServer], tmp_path: Path) -> None:
    begun(browser, serve(three(tmp_path / "x.jsonl")))
    for number, place in enumerate((".card:nth-child(2)", ".card", "#equal", "#skip"), start=1):
        browser.click(place)
        done(browser, number)
    browser.click("#undo")
    done(browser, 3)
    assert placed(tmp_path / "labels.jsonl") == [[2, 1], [1, 2], [1, 1]]


def test_rankings_by_keys(browser: Browser, serve: Callable[..., LabelServer], tmp_path: Path) -> None:
    begun(browser, serve(three(tmp_path / "x.jsonl"), rank=True))
    assert browser.value("document.getElementById('save').disabled")
    for key in ("3", "1", "2", "Enter"):
        browser.press(key)
    done(browser, 1)
    for key in ("1", "Escape", "2", "=", "3", "1"):
        browser.press(key)
    shown = "[...document.querySelectorAll('.rank')].map(rank => rank.textContent)"
    assert browser.value(shown) == ["Rank 2", "Rank 1, tie", "Rank 1, tie"]
    browser.click("#save")
    done(browser, 2)
    browser.press("t")
    done(browser, 3)
    assert placed(tmp_path / "labels.jsonl") == [[2, 3, 1], [2, 1, 1], [1, 1, 1]]


def test_rankings_by_dragging(browser: Browser, serve: Callable[..., LabelServer], tmp_path: Path) -> None:
    begun(browser, serve(three(tmp_path / "x.jsonl"), rank=True))
    browser.drag(".card[data-place='2']", ".card[data-place='0']")
    browser.until("!document.getElementById('save').disabled")
    assert browser.value("[...document.querySelectorAll('.card')].map(card => card.dataset.place)") == ["2", "0", "1"]
    browser.press("Enter")
    done(browser, 1)
    assert placed(tmp_path / "labels.jsonl") == [[2, 3, 1]]


def test_a_program_that_ended_is_said_and_nothing_is_lost(
    browser: Browser, serve: Callable[..., LabelServer], tmp_path: Path
) -> None:
    server = serve(three(tmp_path / "x.jsonl"))
    begun(browser, server)
    browser.press("1")
    done(browser, 1)
    server.shutdown()
    server.server_close()
    browser.press("2")
    browser.until("document.getElementById('error').textContent.startsWith('Not saved: the program')")
    assert len(read_labels(tmp_path / "labels.jsonl")) == 1


def test_to_the_end_and_stop(browser: Browser, serve: Callable[..., LabelServer], tmp_path: Path) -> None:
    server = serve(three(tmp_path / "x.jsonl", count=1))
    begun(browser, server)
    for number in (1, 2, 3):
        browser.press("1")
        done(browser, number)
    assert not browser.value("document.getElementById('end').hidden")
    browser.click("#finish")
    browser.until("document.getElementById('question').textContent === 'Stopped'")


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("rank", [False, True])
def test_fits_the_window(
    width: int, rank: bool, browser: Browser, serve: Callable[..., LabelServer], tmp_path: Path
) -> None:
    long = "word" * 60 + " " + "many words " * 80
    content = [{"prompt": long, "completions": {"a": long, "b": "short", "c": "<pre>" + "x" * 500}}]
    browser.size(width)
    try:
        begun(browser, serve(rows(tmp_path / "x.jsonl", content), rank=rank))
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value("document.querySelector('footer').getBoundingClientRect().bottom") <= 844
        small = "[...document.querySelectorAll('button')].filter(b => b.offsetParent && b.offsetHeight < 44).length"
        assert browser.value(small) == 0
    finally:
        browser.size(1280)
